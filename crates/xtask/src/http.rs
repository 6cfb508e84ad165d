//! As much HTTP/1.0 as is needed to speak with a server on this machine: one request, one connection, whole bodies.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::shell::{Done, While};

/// A status and a body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Done<Value> {
        serde_json::from_str(&self.body).while_doing("reading a JSON body")
    }
}

pub(crate) fn get(to: SocketAddr, path: &str) -> Done<Answer> {
    exchange(to, &format!("GET {path} HTTP/1.0\r\nHost: {to}\r\n\r\n"))
}

pub(crate) fn post(to: SocketAddr, path: &str, body: &Value) -> Done<Answer> {
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.0\r\nHost: {to}\r\nContent-Type: application/json\r\n");
    exchange(to, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
}

fn exchange(to: SocketAddr, request: &str) -> Done<Answer> {
    let what = || format!("asking {to}");
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(2)).while_doing(&what())?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).while_doing(&what())?;
    stream.write_all(request.as_bytes()).while_doing(&what())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).while_doing(&what())?;
    parsed(&String::from_utf8_lossy(&answer)).ok_or_else(|| format!("{}: not an HTTP answer", what()).into())
}

fn parsed(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split_whitespace().nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        let answer = parsed("HTTP/1.0 404 Not Found\r\ncontent-length: 2\r\n\r\n{}");
        assert!(matches!(answer, Some(Answer { status: 404, body }) if body == "{}"));
        assert!(parsed("SSH-2.0-x\r\n\r\n").is_none());
    }
}
