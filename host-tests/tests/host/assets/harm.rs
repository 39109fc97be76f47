//! Uploads that break off, daemons that are killed, and files that somebody else touched.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
};

use kheish_host_tests::{client, host::Host, raw, wait::eventually};
use reqwest::Method;

use super::{files, keep, place, upload};

const HALF: &[u8] =
    b"POST /v1/assets HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\nthe first bytes of many";

#[tokio::test]
async fn a_kill_leaves_whole_files_or_none() {
    let mut host = Host::builder().plugins(&[]).settings("[assets]\nsweep_interval_ms = 20\n").start().await;
    for round in 0..3_u8 {
        let mut half = TcpStream::connect(host.client().base().trim_start_matches("http://")).unwrap();
        half.write_all(HALF).unwrap();
        let is_begun = |path: &std::path::PathBuf| path.to_string_lossy().contains("partial-");
        eventually("an upload has begun", async || files(&host).iter().any(is_begun).then_some(())).await;
        let killer = host.killer();
        let uploads = (0..40_u8).map(|n| {
            let request = host.client().request(Method::POST, "/v1/assets").body(vec![n; 30_000 + usize::from(round)]);
            let killer = &killer;
            async move {
                let answer = client::try_answer(request).await;
                if n == 20 {
                    killer.kill();
                }
                (n, answer)
            }
        });
        let answers = futures_util::future::join_all(uploads).await;
        host.restart().await;
        assert!(!files(&host).iter().any(is_begun), "half a file is left");
        for (n, answer) in answers {
            let Ok(answer) = answer else { continue };
            let id = answer.expect(201).text("/asset_id").to_owned();
            let got = host.get(&format!("/v1/assets/{id}/raw")).await.expect(200);
            assert!(got.body.len() == 30_000 + usize::from(round) && got.body.iter().all(|byte| *byte == n), "{n}");
        }
        // A file without a row goes.
        eventually("every file has its row", async || {
            for file in files(&host) {
                let (rest, folder) = (file.file_name()?.to_str()?, file.parent()?.file_name()?.to_str()?);
                if host.get(&format!("/v1/assets/{folder}{rest}")).await.status != 200 {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_upload_that_pauses_or_breaks_off_leaves_nothing() {
    let host = Host::builder().plugins(&[]).settings("[assets]\nidle_timeout_ms = 150\n").start().await;
    let (status, answer) = raw::exchange(host.client(), HALF).await;
    assert!(status == 408 && answer.contains("request_timeout"), "{answer}");
    raw::abandon(host.client(), HALF).await;
    eventually("nothing is left", async || files(&host).is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_file_that_is_gone_or_cut_says_so_and_a_changed_one_never_ends_well() {
    let host = Host::builder().plugins(&[]).start().await;
    let bytes = vec![5; 200_000];
    let id = keep(&host, &bytes).await;
    let (path, raw) = (place(&host, &id), format!("/v1/assets/{id}/raw"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut changed = bytes.clone();
    changed[10] = 6;
    fs::write(&path, &changed).unwrap();
    let got = client::try_answer(host.client().request(Method::GET, &raw)).await;
    assert!(got.is_err(), "a damaged file came out whole: {:?}", got.map(|answer| answer.body.len()));
    host.logs("is damaged").await;
    fs::write(&path, &bytes[1..]).unwrap();
    host.get(&raw).await.problem(410, "assets", "asset_gone");
    fs::remove_file(&path).unwrap();
    host.get(&raw).await.problem(410, "assets", "asset_gone");
    host.get(&format!("/v1/assets/{id}")).await.expect(200);
    // The same bytes again mend it.
    upload(&host, &bytes).await.expect(201);
    let mut kept = Vec::new();
    fs::File::open(&path).unwrap().read_to_end(&mut kept).unwrap();
    assert!(kept == bytes && host.get(&raw).await.expect(200).body == bytes);
}
