//! One HTTP/1.1 connection that is kept alive, with as little parsing as answers of this daemon need.

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection; one request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    got: Vec<u8>,
}

/// Where an answer's body lies, and what its head said.
#[derive(Debug)]
struct Head {
    status: u16,
    body: usize,
    end: usize,
}

impl Connection {
    /// Takes over a stream.
    pub(crate) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, got: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a request and reads the whole answer: its status and body.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<(u16, String)> {
        let head = self.answer(request).await?;
        Ok((head.status, String::from_utf8_lossy(&self.got[head.body..head.end]).into_owned()))
    }

    /// Sends a request whose answer must be 200.
    pub(crate) async fn accept(&mut self, request: &[u8]) -> Result<()> {
        let head = self.answer(request).await?;
        if head.status != 200 {
            bail!("the daemon answered {}: {}", head.status, String::from_utf8_lossy(&self.got[head.body..head.end]));
        }
        Ok(())
    }

    async fn answer(&mut self, request: &[u8]) -> Result<Head> {
        self.stream.write_all(request).await.context("sending a request")?;
        self.got.clear();
        let mut head = None;
        loop {
            if self.stream.read_buf(&mut self.got).await.context("reading an answer")? == 0 {
                bail!("the daemon closed a connection in the middle of an answer");
            }
            if head.is_none() {
                head = parse(&self.got)?;
            }
            if let Some(head) = head.take_if(|head| head.end <= self.got.len()) {
                return Ok(head);
            }
        }
    }
}

/// The head, once all of it is there.
fn parse(got: &[u8]) -> Result<Option<Head>> {
    let Some(length) = got.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&got[..length]).context("an answer's head is text")?;
    let mut lines = text.split("\r\n");
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).context("an answer has a status")?;
    let declared = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let body = length + 4;
    let end = body + declared.context("an answer has a content-length")??;
    Ok(Some(Head { status, body, end }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n").unwrap().is_none());
        let head = parse(b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n{").unwrap().unwrap();
        assert_eq!((head.status, head.end - head.body), (409, 2));
    }
}
