//! Files: taken in, kept, and given out.

mod harm;
mod links;
mod names;

use std::path::PathBuf;

use kheish_host_tests::{client, host::Host, wait::eventually};
use reqwest::Method;
use serde_json::json;

const SMALL: &str = "[assets]\nmax_bytes = 1000\ntotal_bytes = 1500\n";

async fn upload(host: &Host, bytes: &[u8]) -> client::Answer {
    let path = "/v1/assets?name=a%20b.txt&media_type=text/plain";
    client::answer(host.client().request(Method::POST, path).body(bytes.to_vec())).await
}

/// The id of a file that is kept from now on.
async fn keep(host: &Host, bytes: &[u8]) -> String {
    upload(host, bytes).await.expect(201).text("/asset_id").to_owned()
}

/// Every file below the folder, but for the key of links.
fn files(host: &Host) -> Vec<PathBuf> {
    let list = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, mut files): (Vec<_>, Vec<_>) =
        list(host.state_folder().join("assets")).partition(|path| path.is_dir());
    files.extend(folders.into_iter().flat_map(list));
    files.retain(|path| !path.ends_with("link.key"));
    files
}

/// Where a file lies.
fn place(host: &Host, id: &str) -> PathBuf {
    host.state_folder().join("assets").join(&id[..2]).join(&id[2..])
}

#[tokio::test]
async fn a_file_comes_out_as_it_went_in_whole_and_in_part() {
    let host = Host::builder().plugins(&[]).start().await;
    let kept = upload(&host, b"0123456789").await.expect(201);
    let raw = format!("/v1/assets/{}/raw", kept.text("/asset_id"));
    let whole = host.get(&raw).await.expect(200);
    assert_eq!((&whole.body[..], whole.header("content-length")), (&b"0123456789"[..], "10"));
    assert_eq!((whole.header("content-type"), whole.header("x-content-type-options")), ("text/plain", "nosniff"));
    assert_eq!(whole.header("content-disposition"), "attachment; filename*=UTF-8''a%20b.txt");
    let part = client::answer(host.client().request(Method::GET, &raw).header("range", "bytes=2-4")).await.expect(206);
    assert_eq!((&part.body[..], part.header("content-range")), (&b"234"[..], "bytes 2-4/10"));
    client::answer(host.client().request(Method::GET, &raw).header("range", "bytes=10-")).await.expect(416);
    let same = host.client().request(Method::GET, &raw).header("if-none-match", whole.header("etag"));
    client::answer(same).await.expect(304);
    host.get(&format!("{raw}?token=1.2")).await.problem(401, "auth", "invalid_link");
}

#[tokio::test]
async fn sizes_are_bounded() {
    let host = Host::builder().plugins(&[]).settings(SMALL).start().await;
    upload(&host, &[1; 1001]).await.problem(413, "assets", "asset_too_large");
    upload(&host, &[1; 1000]).await.expect(201);
    upload(&host, &[2; 501]).await.problem(507, "assets", "assets_full");
    upload(&host, &[1; 1000]).await.expect(201);
}

#[tokio::test]
async fn what_no_run_refers_to_goes_and_what_one_does_stays() {
    let quick = "[assets]\norphan_age_ms = 3000\nsweep_interval_ms = 20\n";
    let host = Host::builder().plugins(&[]).settings(quick).start().await;
    host.make_session("room").await;
    let held = upload(&host, b"held").await.expect(201).text("/asset_id").to_owned();
    let items = json!({ "input_items": [{ "type": "asset_reference", "asset_id": held }] });
    host.submit("room", &items).await.expect(202);
    let orphan = upload(&host, b"orphan").await.expect(201).text("/asset_id").to_owned();
    eventually("the orphan goes", async || {
        (host.get(&format!("/v1/assets/{orphan}")).await.status == 404).then_some(())
    })
    .await;
    assert_eq!(&host.get(&format!("/v1/assets/{held}/raw")).await.expect(200).body[..], b"held");
}

#[tokio::test]
async fn the_same_bytes_are_kept_once_however_many_send_them() {
    let host = Host::builder().plugins(&[]).settings(SMALL).start().await;
    let uploads = (0..100).map(|_| upload(&host, &[7; 900]));
    let kept = futures_util::future::join_all(uploads).await;
    let first = kept[0].text("/asset_id").to_owned();
    for answer in kept {
        assert_eq!(answer.expect(201).text("/asset_id"), first);
    }
    assert_eq!(files(&host), [place(&host, &first)]);
    // They count once, and nothing that was refused counts.
    upload(&host, &[8; 601]).await.problem(507, "assets", "assets_full");
    keep(&host, &[8; 600]).await;
    upload(&host, &[9; 1]).await.problem(507, "assets", "assets_full");
}

#[tokio::test]
async fn what_went_makes_room() {
    let settings = format!("{SMALL}orphan_age_ms = 0\nsweep_interval_ms = 20\n");
    let host = Host::builder().plugins(&[]).settings(&settings).start().await;
    for fill in 0..5 {
        eventually("there is room", async || (upload(&host, &[fill; 1000]).await.status != 507).then_some(())).await;
    }
    eventually("nothing is left", async || files(&host).is_empty().then_some(())).await;
}

#[tokio::test]
async fn outputs_take_files_along() {
    let quick = "[assets]\norphan_age_ms = 3000\nsweep_interval_ms = 20\n";
    let host = Host::builder().plugins(&[]).settings(quick).start().await;
    host.make_session("room").await;
    host.submit("room", &json!({ "content": "x" })).await.expect(202);
    let claimed = host.worker("w").take().await;
    let (says, ends) = (format!("/v1/runs/{}/outputs", claimed.run), format!("/v1/runs/{}/finish", claimed.run));
    let body = |artifacts: serde_json::Value| json!({ "epoch": claimed.epoch, "outputs": [{ "content": "see", "artifacts": artifacts }] });
    let none = json!([{ "asset_id": "0".repeat(64) }]);
    let file = keep(&host, b"held by an output").await;
    for path in [&says, &ends] {
        host.post(path, &body(none.clone())).await.problem(400, "runs", "asset_not_found");
        let named = json!([{ "asset_id": file, "name": "a\nb" }]);
        host.post(path, &body(named)).await.problem(400, "runs", "invalid_payload");
        let many = vec![json!({ "asset_id": file }); 33];
        host.post(path, &body(many.into())).await.problem(400, "runs", "invalid_payload");
    }
    host.post(&says, &body(json!([{ "asset_id": file }]))).await.expect(200);
    let renamed = json!([{ "asset_id": file, "name": "b.bin", "media_type": "a/b" }]);
    let done = host.post(&ends, &body(renamed)).await.expect(200);
    let shown = |at: usize| done.json["outputs"][at]["artifacts"].clone();
    assert_eq!(done.json["outputs"].as_array().map(Vec::len), Some(2), "what was refused is not stored");
    assert_eq!(shown(0), json!([{ "asset_id": file, "name": "a b.txt", "media_type": "text/plain", "size": 17 }]));
    assert_eq!(shown(1), json!([{ "asset_id": file, "name": "b.bin", "media_type": "a/b", "size": 17 }]));
    let orphan = keep(&host, b"orphan").await;
    eventually("the orphan goes", async || (!place(&host, &orphan).exists()).then_some(())).await;
    host.get(&format!("/v1/assets/{file}/raw")).await.expect(200);
}

/// The most memory that the daemon has had, in KiB.
fn peak(host: &Host) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.process_id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_large_file_is_never_whole_in_memory() {
    let host = Host::builder().plugins(&[]).settings("[assets]\nmax_bytes = 800000000\n").start().await;
    let size = 780_000_000;
    let before = peak(&host);
    let id = keep(&host, &vec![3; size]).await;
    let got = host.get(&format!("/v1/assets/{id}/raw")).await.expect(200);
    assert_eq!(got.body.len(), size);
    // What the allocator holds back for a while is up to some 250 MiB on a busy machine, however large the file is.
    let grown = peak(&host) - before;
    assert!(grown < 500 * 1024, "it took {grown} KiB");
}
