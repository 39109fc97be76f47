//! What is made of what was seen.

use super::*;

fn report(status: ReportedStatus, detail: Option<&str>) -> Report {
    Report { protocol_version: 1, instance_id: "i".to_owned(), status, detail: detail.map(str::to_owned) }
}

fn bridge() -> ConnectorId {
    ConnectorId { kind: "external".to_owned(), name: "bridge".to_owned() }
}

fn remote() -> Arc<Watch> {
    Fleet::default().begin(&bridge(), None)
}

fn waits(watch: &Watch) -> Option<&'static str> {
    watch.absence(Duration::ZERO).map(|absence| absence.code)
}

fn state(watch: &Watch) -> (HealthState, Option<String>) {
    let health = watch.health();
    (health.state, health.reason)
}

#[test]
fn nothing_waits_until_somebody_has_looked() {
    let watch = remote();
    assert_eq!((state(&watch), waits(&watch)), ((HealthState::Starting, None), None));
}

#[test]
fn deliveries_wait_for_a_child_until_it_is_ready_with_what_its_connector_is_now() {
    let (fleet, id) = (Fleet::default(), bridge());
    let waits = |print| fleet.absence_of(&id, print, Duration::ZERO).map(|absence| absence.code);
    let (first, second) = (Some(Print::for_tests(1)), Some(Print::for_tests(2)));
    assert_eq!((waits(None), waits(first)), (None, Some(STARTING)), "nobody has begun to look");
    let watch = fleet.begin(&id, first);
    assert_eq!(waits(first), Some(STARTING), "it was not seen yet");
    watch.reported(&report(ReportedStatus::Ready, None), None, 1);
    assert_eq!((waits(first), waits(second)), (None, Some(STARTING)), "the former one does not know the new secret");
    watch.deaf("refused".to_owned());
    assert_eq!((waits(first), waits(second), waits(None)), (Some(DEAF), Some(STARTING), None));
    fleet.begin(&id, second);
    assert_eq!((waits(first), waits(second)), (Some(STARTING), Some(STARTING)));
}

#[test]
fn waits_are_those_until_the_next_look_and_grow_where_there_is_none() {
    let (watch, least) = (remote(), Duration::from_secs(15));
    watch.deaf("refused".to_owned());
    let wait = || watch.absence(least).unwrap().wait_ms;
    assert_eq!(wait(), 15_000, "the next look is over");
    watch.looks_in(Duration::from_secs(60));
    assert!((59_000..=60_000).contains(&wait()), "{}", wait());
    let stopped = |since: Duration| {
        watch.process(|process| process.state = ProcessState::Stopped);
        watch.lock().since = Instant::now() - since;
        watch.absence(least).map(|absence| (absence.code, absence.wait_ms / 1_000, absence.elsewhere))
    };
    for (since, wait) in [(0, 15), (40, 40), (86_400, 600)] {
        assert_eq!(stopped(Duration::from_secs(since)), Some((STOPPED, wait, false)));
    }
    watch.process(|process| process.state = ProcessState::Elsewhere);
    watch.is_elsewhere("another daemon".to_owned());
    watch.looks_in(Duration::ZERO);
    let elsewhere = watch.absence(Duration::ZERO).unwrap();
    assert_eq!((elsewhere.code, elsewhere.wait_ms, elsewhere.elsewhere), (ELSEWHERE, 200, true));
}

#[test]
fn who_comes_back_is_noted_once() {
    let fleet = Fleet::default();
    let watch = fleet.begin(&bridge(), None);
    let ready = || watch.reported(&report(ReportedStatus::Ready, None), None, 1);
    for (back, what) in [(true, "former daemons may have had it wait"), (false, "it was there"), (true, "it was away")]
    {
        ready();
        assert_eq!(fleet.back.take(), back.then(bridge), "{what}");
        if !back {
            watch.deaf("refused".to_owned());
        }
    }
    fleet.end(&bridge());
    assert_eq!(fleet.back.take(), Some(bridge()), "what waits is settled");
}

#[test]
fn deliveries_wait_for_those_that_are_deaf_or_not_ready() {
    let watch = remote();
    assert_eq!(watch.deaf("refused".to_owned()).0, 1);
    assert_eq!(watch.deaf("refused".to_owned()), (2, None), "it is no news");
    assert_eq!(waits(&watch), Some(DEAF));
    assert_eq!(watch.health().failures, 2);
    for (status, code) in [
        (ReportedStatus::Starting, Some(STARTING)),
        (ReportedStatus::Draining, Some(DRAINING)),
        (ReportedStatus::Degraded, None),
        (ReportedStatus::Ready, None),
    ] {
        watch.reported(&report(status, None), None, 5);
        assert_eq!(waits(&watch), code, "{status:?}");
    }
    let health = watch.health();
    assert_eq!((health.failures, health.answered_at_ms, health.instance_id.as_deref()), (0, Some(5), Some("i")));
}

#[test]
fn what_is_wrong_is_said() {
    let watch = remote();
    watch.reported(&report(ReportedStatus::Degraded, Some("no gateway")), None, 1);
    assert_eq!(state(&watch), (HealthState::Degraded, Some("no gateway".to_owned())));
    watch.reported(&report(ReportedStatus::Ready, None), Some("no manifest".to_owned()), 1);
    assert_eq!(state(&watch), (HealthState::Degraded, Some("no manifest".to_owned())));
    watch.odd("404".to_owned(), 1);
    assert_eq!(state(&watch), (HealthState::Degraded, Some("404".to_owned())));
    let newer = Report { protocol_version: 2, ..report(ReportedStatus::Ready, None) };
    watch.reported(&newer, None, 1);
    assert!(state(&watch).1.unwrap().contains("runtime protocol 2"));
    let turn = watch.reported(&report(ReportedStatus::Ready, Some("well")), None, 1).unwrap();
    assert_eq!((turn.from, turn.to, turn.reason), (HealthState::Degraded, HealthState::Ready, None));
}

#[test]
fn what_a_child_is_after_a_new_start_is_news_only_when_it_is_another_state() {
    let watch = Fleet::default().begin(&bridge(), Some(Print::for_tests(1)));
    assert_eq!(waits(&watch), Some(STARTING));
    let ready = |watch: &Watch| watch.reported(&report(ReportedStatus::Ready, None), None, 1).unwrap().news;
    assert!(ready(&watch));
    watch.begins("it was just started".to_owned());
    assert!(!ready(&watch));
    watch.begins("it ends".to_owned());
    assert!(watch.deaf("exit code 7".to_owned()).1.unwrap().news);
    watch.begins("it was just started".to_owned());
    assert!(!watch.deaf("exit code 7".to_owned()).1.unwrap().news);
    watch.is_elsewhere("another daemon".to_owned());
    assert_eq!(waits(&watch), Some(ELSEWHERE));
    assert!(watch.deaf("exit code 7".to_owned()).1.unwrap().news, "the other daemon may have told of something else");
}

#[test]
fn a_sidecar_s_words_are_kept_as_far_as_they_go() {
    let watch = remote();
    watch.odd("ä".repeat(2 * WORDS), 1);
    assert_eq!(state(&watch).1, Some("ä".repeat(WORDS)));
}

#[test]
fn a_manifest_is_believed_for_a_while() {
    let watch = remote();
    watch.described(serde_json::from_str("{}").unwrap());
    assert!(watch.manifest(Duration::from_secs(300)).is_some());
    assert!(watch.manifest(Duration::ZERO).is_none());
}
