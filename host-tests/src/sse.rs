//! Reads server-sent events of a daemon.

use std::time::Duration;

use reqwest::{Method, Response, header::HeaderMap};
use serde_json::Value;
use tokio::time::timeout;

use crate::{client::Client, wait::PATIENCE};

/// How long a stream may be open.
const LONGEST: Duration = Duration::from_secs(300);

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Its id; absent on frames that do not move the cursor.
    pub id: Option<u64>,
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: Value,
}

impl Frame {
    fn parse(text: &str) -> Self {
        let mut frame = Self { id: None, name: String::new(), data: Value::Null };
        for line in text.lines() {
            let (field, value) = line.split_once(": ").expect("a line of a frame has a field and a value");
            match field {
                "id" => frame.id = Some(value.parse().expect("an id is a decimal number")),
                "event" => value.clone_into(&mut frame.name),
                "data" => frame.data = serde_json::from_str(value).expect("data is JSON on one line"),
                _ => panic!("an unknown field: {line}"),
            }
        }
        assert_eq!(frame.data["type"], frame.name.as_str(), "the data says the name too");
        frame
    }

    /// A text in the data; empty when it is missing.
    pub fn text(&self, field: &str) -> &str {
        self.data[field].as_str().unwrap_or_default()
    }
}

/// An open stream.
#[derive(Debug)]
pub struct Stream {
    response: Response,
    pending: Vec<u8>,
}

impl Stream {
    /// Opens the stream at `path`; the daemon must not refuse it.
    pub async fn open(client: &Client, path: &str) -> Self {
        Self::resume(client, path, None).await
    }

    /// Opens the stream behind the event `last`.
    pub async fn resume(client: &Client, path: &str, last: Option<u64>) -> Self {
        let mut request = client.request(Method::GET, path).timeout(LONGEST);
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await.expect("the daemon answers");
        assert_eq!(response.status().as_u16(), 200, "a stream opens");
        Self { response, pending: Vec::new() }
    }

    /// The headers of the answer.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next frame, heartbeats too. None when the stream has ended or broke.
    pub async fn next(&mut self) -> Option<Frame> {
        timeout(PATIENCE, self.read()).await.expect("a frame, or the end of the stream")
    }

    /// The next frame that comes within this time.
    pub async fn next_within(&mut self, time: Duration) -> Option<Frame> {
        timeout(time, self.read()).await.ok().flatten()
    }

    async fn read(&mut self) -> Option<Frame> {
        loop {
            if let Some(end) = self.pending.windows(2).position(|pair| pair == b"\n\n") {
                let frame: Vec<u8> = self.pending.drain(..end + 2).collect();
                return Some(Frame::parse(std::str::from_utf8(&frame).expect("a frame is text").trim_end()));
            }
            let chunk = self.response.chunk().await.ok().flatten()?;
            self.pending.extend_from_slice(&chunk);
        }
    }

    /// The next frames up to and with the first one that is like that; heartbeats are left out.
    pub async fn until(&mut self, is: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        // Heartbeats keep a stream alive in which nothing happens.
        timeout(PATIENCE, self.collect(is)).await.expect("the frame that the test waits for")
    }

    async fn collect(&mut self, is: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await.expect("the stream goes on");
            let last = is(&frame);
            if frame.name != "heartbeat" {
                frames.push(frame);
            }
            if last {
                return frames;
            }
        }
    }
}
