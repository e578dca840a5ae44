//! What a proxy does with one request.
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Fault, Seen, State};

impl State {
    pub(super) fn serve(&self, mut client: TcpStream) {
        let Some((head, body)) = read_head(&mut client) else { return };
        let mut words = head.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let agent = header(&head, "user-agent").unwrap_or_default().to_owned();
        let mut seen = Seen { method, path, agent, faulty: false };
        let fault = self.match_rule(&seen);
        seen.faulty = fault.is_some();
        self.seen.lock().expect("no handler died").push(seen);
        match &fault {
            Some(Fault::Status(code, headers, text)) => {
                take_in(&mut client, &head, body.len());
                return answer(&mut client, *code, headers, text);
            }
            Some(Fault::NoAnswer) => return self.leave_unanswered(&client),
            Some(Fault::Delay(time)) => std::thread::sleep(*time),
            Some(Fault::LastAnswer) => self.leave(),
            _ => {}
        }
        let _ = self.relay(client, &close_after(&head), &body, fault.as_ref());
    }

    pub(super) fn leave(&self) {
        // A socket that is shut down no longer listens, also for the thread that waits in it.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
    }

    fn match_rule(&self, seen: &Seen) -> Option<Fault> {
        let mut rules = self.rules.lock().expect("no handler died");
        for rule in rules.iter_mut().filter(|rule| rule.matches(seen)) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 {
                rule.times -= 1;
                return Some(rule.fault.clone());
            }
        }
        None
    }

    fn relay(
        &self,
        mut client: TcpStream,
        head: &str,
        body: &[u8],
        fault: Option<&Fault>,
    ) -> std::io::Result<()> {
        let Ok(mut server) = TcpStream::connect(&self.upstream) else {
            answer(&mut client, 502, &[], "the server behind the proxy is gone");
            return Ok(());
        };
        server.write_all(head.as_bytes())?;
        self.up.fetch_add(head.len() as u64, Ordering::SeqCst);
        let mut from_client = std::io::Cursor::new(body.to_vec()).chain(client.try_clone()?);
        let mut to_server = server.try_clone()?;
        let resetting = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let resetting = &resetting;
            scope.spawn(move || {
                if matches!(self.pass_body(&mut from_client, &mut to_server, fault), End::Reset) {
                    resetting.store(true, Ordering::SeqCst);
                    let _ = to_server.shutdown(Shutdown::Both);
                }
            });
            let end = self.pass_answer(&mut server, &mut client, fault);
            if matches!(end, Ok(End::Reset)) || resetting.load(Ordering::SeqCst) {
                // With a linger of zero the last close resets. Only the reading side is shut
                // before: a full shutdown would still end the stream in good order.
                let _ = rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO));
                let _ = client.shutdown(Shutdown::Read);
            } else {
                let _ = client.shutdown(Shutdown::Both);
            }
            let _ = server.shutdown(Shutdown::Both);
        });
        Ok(())
    }

    /// Copies an upload, as far as the fault lets it through.
    fn pass_body(&self, from: &mut impl Read, to: &mut TcpStream, fault: Option<&Fault>) -> End {
        let mut buffer = vec![0; 64 * 1024];
        let mut sent = 0;
        loop {
            let room = match fault {
                Some(
                    Fault::ResetUploadAfter(at)
                    | Fault::TruncateUploadAfter(at)
                    | Fault::StallUploadAfter(at),
                ) => at - sent,
                _ => u64::MAX,
            };
            match fault {
                Some(Fault::ResetUploadAfter(_)) if room == 0 => return End::Reset,
                Some(Fault::TruncateUploadAfter(_)) if room == 0 => {
                    let _ = to.shutdown(Shutdown::Write);
                    // The client goes on, and nobody hears it.
                    let _ = std::io::copy(from, &mut std::io::sink());
                    return End::Close;
                }
                Some(Fault::StallUploadAfter(_)) if room == 0 => {
                    self.stall();
                    let _ = to.shutdown(Shutdown::Both);
                    return End::Close;
                }
                _ => {}
            }
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(buffer.len());
            let Ok(read @ 1..) = from.read(&mut buffer[..room]) else { return End::Close };
            if let Some(Fault::CorruptUploadAt(at)) = fault {
                corrupt(&mut buffer[..read], sent, *at);
            }
            sent += read as u64;
            self.up.fetch_add(read as u64, Ordering::SeqCst);
            if to.write_all(&buffer[..read]).is_err() {
                return End::Close;
            }
        }
    }

    fn pass_answer(
        &self,
        server: &mut TcpStream,
        client: &mut TcpStream,
        fault: Option<&Fault>,
    ) -> std::io::Result<End> {
        let Some((head, rest)) = read_head(server) else { return Ok(End::Close) };
        let mut head = close_after(&head);
        match fault {
            Some(Fault::ResetHead) => return Ok(End::Reset),
            Some(Fault::CutHead) => {
                client.write_all(&head.as_bytes()[..head.len() / 2])?;
                return Ok(End::Close);
            }
            Some(Fault::ClaimOtherDigest) => claim_other_digest(&mut head),
            _ => {}
        }
        client.write_all(head.as_bytes())?;
        self.down.fetch_add(head.len() as u64, Ordering::SeqCst);
        let mut body = std::io::Cursor::new(rest).chain(server);
        let mut sent = 0;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let room = match fault {
                Some(Fault::ResetAfter(at) | Fault::TruncateAfter(at) | Fault::StallAfter(at)) => {
                    at - sent
                }
                Some(Fault::Slow(rate)) => (rate / 20).max(1),
                _ => u64::MAX,
            };
            if room == 0 {
                return Ok(self.end_early(fault));
            }
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(buffer.len());
            let read = body.read(&mut buffer[..room])?;
            if read == 0 {
                return Ok(End::Close);
            }
            match fault {
                Some(Fault::CorruptAt(at)) => corrupt(&mut buffer[..read], sent, *at),
                Some(Fault::Slow(_)) => std::thread::sleep(Duration::from_millis(50)),
                _ => {}
            }
            client.write_all(&buffer[..read])?;
            sent += read as u64;
            self.down.fetch_add(read as u64, Ordering::SeqCst);
        }
    }

    fn end_early(&self, fault: Option<&Fault>) -> End {
        match fault {
            Some(Fault::ResetAfter(_)) => return End::Reset,
            Some(Fault::StallAfter(_)) => self.stall(),
            _ => {}
        }
        End::Close
    }

    /// Takes all that the client sends and answers nothing.
    fn leave_unanswered(&self, client: &TcpStream) {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut client = client;
                let _ = std::io::copy(&mut client, &mut std::io::sink());
                if *self.frozen.lock().expect("no handler died") {
                    *self.given_up.lock().expect("no handler died") += 1;
                    self.gives_up.notify_all();
                }
            });
            self.stall();
            let _ = client.shutdown(Shutdown::Both);
        });
    }

    fn stall(&self) {
        let frozen = self.frozen.lock().expect("no handler died");
        drop(self.thawed.wait_while(frozen, |frozen| *frozen));
    }
}

/// How a connection to the client ends.
enum End {
    Close,
    Reset,
}

fn read_head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Some((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
    }
}

/// Changes the byte at `at` of a body, if it is in this part that begins at `start`.
fn corrupt(part: &mut [u8], start: u64, at: u64) {
    let index = at.checked_sub(start).and_then(|index| usize::try_from(index).ok());
    if let Some(byte) = index.and_then(|index| part.get_mut(index)) {
        *byte ^= 0xff;
    }
}

/// A header's value.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn claim_other_digest(head: &mut String) {
    if let Some(digest) = header(head, "docker-content-digest").map(str::to_owned) {
        *head = head.replace(&digest, &format!("sha256:{}", "0".repeat(64)));
    }
}

/// The same head, with `Connection: close` in place of what it said.
fn close_after(head: &str) -> String {
    let mut lines: Vec<&str> = head.trim_end().lines().collect();
    lines.retain(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    lines.push("Connection: close");
    lines.join("\r\n") + "\r\n\r\n"
}

/// Reads the rest of a body whose length is known and which does not wait to be asked for.
fn take_in(client: &mut TcpStream, head: &str, read: usize) {
    let length = header(head, "content-length").and_then(|length| length.parse::<u64>().ok());
    let rest = length.unwrap_or(0).saturating_sub(read as u64);
    if rest > 0 && header(head, "expect").is_none() {
        let _ = std::io::copy(&mut client.take(rest), &mut std::io::sink());
    }
}

fn answer(client: &mut TcpStream, code: u16, headers: &[(String, String)], text: &str) {
    let mut head =
        format!("HTTP/1.1 {code} Fault\r\nContent-Length: {}\r\nConnection: close\r\n", text.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let _ = client.write_all(format!("{head}\r\n{text}").as_bytes());
    // What the client still sends must be read, or the close resets the answer away.
    let _ = client.shutdown(Shutdown::Write);
    let _ = std::io::copy(client, &mut std::io::sink());
}
