//! The server that the benches speak to: it reads requests by their length, throws bodies away and gives fixed answers
//! over connections that stay open. HTTP/1.1 on loopback, no more of it than these benches need.
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
};

/// Answers `GET` with `get` and all else with `post`, one thread for each connection, for as long as the process lives.
pub(crate) fn serve(get: Vec<u8>, post: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let get = Arc::new(get);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let get = Arc::clone(&get);
            std::thread::spawn(move || answer(connection.unwrap(), &get, post));
        }
    });
    url
}

/// Answers requests until the client goes.
fn answer(connection: TcpStream, get: &[u8], post: &[u8]) {
    connection.set_nodelay(true).unwrap();
    let mut output = connection.try_clone().unwrap();
    let mut input = BufReader::with_capacity(256 * 1024, connection);
    let mut sink = vec![0; 256 * 1024];
    loop {
        let (mut length, mut is_get, mut line) = (0_usize, false, String::new());
        loop {
            line.clear();
            if input.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.trim_end().to_ascii_lowercase();
            is_get |= lower.starts_with("get ");
            if let Some(text) = lower.strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
            if lower.is_empty() {
                break;
            }
        }
        while length > 0 {
            let room = length.min(sink.len());
            let Ok(read @ 1..) = input.read(sink.get_mut(..room).unwrap()) else { return };
            length -= read;
        }
        let body = if is_get { get } else { post };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\netag: \"1\"\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if output.write_all(head.as_bytes()).and_then(|()| output.write_all(body)).is_err() {
            return;
        }
    }
}
