//! Lines of the log: what is in them, and the last look at each before it is written.

use std::{
    borrow::Cow,
    fmt,
    io::{self, Write},
};

use serde::Serializer as _;
use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::Record,
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter,
        format::{DefaultVisitor, Writer},
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// The field of a span by which everything that belongs to one run is found.
pub const CORRELATION: &str = "correlation_id";

/// Fields that a JSON line has by itself; others of these names get a prefix.
const OWN: [&str; 5] = ["timestamp", "level", "target", "message", CORRELATION];

/// Gives a finished line back without what must not be written.
pub type Mask = fn(&[u8]) -> Cow<'_, [u8]>;

/// Writes whole lines through a mask.
pub struct Masked<M> {
    inner: M,
    mask: Mask,
}

impl<M> Masked<M> {
    /// In front of `inner`.
    pub fn new(inner: M, mask: Mask) -> Self {
        Self { inner, mask }
    }
}

impl<'w, M: MakeWriter<'w>> MakeWriter<'w> for Masked<M> {
    type Writer = MaskedLine<M::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        MaskedLine { inner: self.inner.make_writer(), mask: self.mask }
    }
}

/// One line on its way. The log hands it over whole, in one call.
pub struct MaskedLine<W> {
    inner: W,
    mask: Mask,
}

impl<W: Write> Write for MaskedLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.inner.write_all(&(self.mask)(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Fields for people: those that only a collector understands are left out.
pub struct TextFields;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut plain = Plain { inner: DefaultVisitor::new(writer, true) };
        fields.record(&mut plain);
        use tracing_subscriber::field::VisitOutput;
        plain.inner.finish()
    }
}

struct Plain<'w> {
    inner: DefaultVisitor<'w>,
}

impl Visit for Plain<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if !field.name().starts_with("otel.") {
            self.inner.record_str(field, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.inner.record_error(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.inner.record_debug(field, value);
    }
}

/// Of a span, a JSON line says the run that it belongs to.
pub struct JsonFields;

impl<'w> FormatFields<'w> for JsonFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        fields.record(&mut Correlation(writer));
        Ok(())
    }

    fn add_fields(&self, _: &'w mut FormattedFields<Self>, _: &Record<'_>) -> fmt::Result {
        Ok(())
    }
}

struct Correlation<'w>(Writer<'w>);

impl Visit for Correlation<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == CORRELATION {
            // What is written here is kept in memory: it cannot fail.
            write!(self.0, "{value:?}").ok();
        }
    }
}

/// One JSON object a line: `timestamp` (RFC 3339), `level`, `target`, `message`, `correlation_id` within a run's stage, and
/// the fields of the event beside them.
pub struct JsonLines;

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'l> LookupSpan<'l>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut object = Object::default();
        event.record(&mut object);
        let message = object.message.take().unwrap_or_default();
        let own = [
            ("timestamp", Some(timestamp)),
            ("level", Some(event.metadata().level().to_string())),
            ("target", Some(event.metadata().target().to_owned())),
            ("message", Some(message)),
            (CORRELATION, correlation(ctx)),
        ];
        let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))));
        let mut line = Vec::new();
        serde_json::Serializer::new(&mut line).collect_map(own.chain(object.fields)).map_err(|_| fmt::Error)?;
        writeln!(writer, "{}", String::from_utf8_lossy(&line))
    }
}

/// The run of the innermost span that has one.
fn correlation<S>(ctx: &FmtContext<'_, S, JsonFields>) -> Option<String>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
{
    ctx.event_scope()?.find_map(|span| {
        let extensions = span.extensions();
        let run = &extensions.get::<FormattedFields<JsonFields>>()?.fields;
        (!run.is_empty()).then(|| run.clone())
    })
}

#[derive(Default)]
struct Object {
    message: Option<String>,
    fields: Map<String, Value>,
}

impl Object {
    fn put(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => self.message = Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
            // Where other crates' log records came from.
            name if name.starts_with("log.") => {}
            name if OWN.contains(&name) => drop(self.fields.insert(format!("field_{name}"), value)),
            name => drop(self.fields.insert(name.trim_start_matches("r#").to_owned(), value)),
        }
    }
}

impl Visit for Object {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn without_digits(line: &[u8]) -> Cow<'_, [u8]> {
        line.iter().map(|byte| if byte.is_ascii_digit() { b'#' } else { *byte }).collect::<Vec<_>>().into()
    }

    fn json(mask: Mask, log: impl FnOnce()) -> String {
        let (kept, layer) = (Kept::default(), tracing_subscriber::fmt::layer());
        let maker = kept.clone();
        let layer = layer.fmt_fields(JsonFields).event_format(JsonLines);
        let layer = layer.with_writer(Masked::new(move || maker.clone(), mask));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        kept.text()
    }

    #[test]
    fn a_json_line_is_one_object_with_the_innermost_run() {
        let text = json(
            |line| line.into(),
            || {
                let _outer = tracing::info_span!("outer", correlation_id = %"run_1").entered();
                let inner = tracing::info_span!("inner", other = 1, late = tracing::field::Empty).entered();
                inner.record("late", "no");
                tracing::warn!(count = 3, level = "mine", good = true, share = 0.5, "two\nlines \"quoted\"");
            },
        );
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("{\"timestamp\":"), "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        for (name, value) in [
            ("level", "WARN".into()),
            ("message", "two\nlines \"quoted\"".into()),
            ("correlation_id", "run_1".into()),
            ("field_level", "mine".into()),
            ("count", Value::from(3)),
            ("good", true.into()),
            ("share", 0.5.into()),
        ] {
            assert_eq!(line[name], value, "{text}");
        }
        assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z') && time.contains('T')), "{text}");
        assert!(line["target"].as_str().is_some_and(|target| target.starts_with("kheish::telemetry")), "{text}");
    }

    #[test]
    fn lines_are_masked_whole() {
        let text = json(without_digits, || tracing::info!(secret = "hunter22", "code 1234"));
        assert!(!text.chars().any(|letter| letter.is_ascii_digit()), "{text}");
        assert!(text.contains("hunter##") && text.contains("code ####"), "{text}");
    }

    #[test]
    fn people_do_not_see_what_is_for_collectors() {
        let kept = Kept::default();
        let maker = kept.clone();
        let layer = tracing_subscriber::fmt::layer().fmt_fields(TextFields).with_ansi(false);
        let layer = layer.with_writer(Masked::new(move || maker.clone(), |line| line.into()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let _span = tracing::info_span!("deliver", otel.kind = "client", correlation_id = %"run_1").entered();
            tracing::info!(attempt = 2, "sent");
        });
        assert!(
            kept.text().contains("deliver{correlation_id=run_1}:") && kept.text().contains("sent attempt=2"),
            "{}",
            kept.text()
        );
        assert!(!kept.text().contains("otel"), "{}", kept.text());
    }
}
