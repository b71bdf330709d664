//! Answers read per second, over connections that stay open.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

pub const GENERATOR_THREADS: usize = 2;

pub fn read_rate(address: SocketAddr, request: String, status: u16, connections: usize, seconds: u64) -> f64 {
    let threads: Vec<_> = (0..GENERATOR_THREADS)
        .map(|_| {
            let request = request.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async move {
                    let mut tasks = tokio::task::JoinSet::new();
                    let until = Instant::now() + Duration::from_secs(seconds);
                    for _ in 0..connections / GENERATOR_THREADS {
                        let request = request.clone();
                        tasks.spawn(async move {
                            let mut stream = TcpStream::connect(address).await.expect("the server listens");
                            let mut buffer = vec![0; 65_536];
                            let mut answers = 0u64;
                            while Instant::now() < until {
                                stream.write_all(request.as_bytes()).await.expect("the server reads");
                                assert_eq!(read_answer(&stream, &mut buffer).await, status);
                                answers += 1;
                            }
                            answers
                        });
                    }
                    tasks.join_all().await.iter().sum::<u64>()
                })
            })
        })
        .collect();
    threads.into_iter().map(|t| t.join().expect("no panic")).sum::<u64>() as f64 / seconds as f64
}

async fn read_answer(stream: &TcpStream, buffer: &mut [u8]) -> u16 {
    let mut filled = 0;
    loop {
        stream.readable().await.expect("an answer");
        match stream.try_read(&mut buffer[filled..]) {
            Ok(0) => panic!("the server hung up"),
            Ok(n) => filled += n,
            Err(_) => continue,
        }
        let Some(end) = find(&buffer[..filled], b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).expect("ASCII");
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |l| l.parse().expect("a number"));
        if filled >= end + 4 + length {
            return head[9..12].parse().expect("a status");
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
