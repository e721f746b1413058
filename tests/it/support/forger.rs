//! Somebody between a device and its server who changes what the server says. Plain HTTP: on
//! the way of a proxy that ends TLS.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use tollkeeper::client::transport::Transport;

/// Listens on a port of its own; `change` gets the body of each answer.
pub fn forge(server: Transport, change: impl Fn(String) -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut bytes = Vec::new();
            let mut buffer = [0; 16 * 1024];
            let (head, body) = loop {
                match stream.read(&mut buffer) {
                    Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
                    _ => break (String::new(), Vec::new()),
                }
                let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
                let length: usize = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok()).unwrap_or(0);
                if bytes.len() >= end + 4 + length {
                    break (head, bytes[end + 4..].to_vec());
                }
            };
            let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
            let Ok(body) = serde_json::from_slice(&body) else { continue };
            let reply = server.post_json(&path, &body, &[]).expect("the server answers");
            let body = change(String::from_utf8(reply.body).expect("text"));
            let answer =
                format!("HTTP/1.1 {} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", reply.status, body.len());
            // The device may have gone.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

/// The answer with a longer authorization than was signed.
pub fn lengthen(body: String) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let text = answer["authorization"].as_str().expect("granted").to_owned();
    let parts: Vec<&str> = text.split('.').collect();
    let mut claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).expect("base64url")).expect("JSON");
    claims["exp"] = (claims["exp"].as_i64().expect("a time") + 86_400_000).into();
    answer["authorization"] = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2]).into();
    answer.to_string()
}
