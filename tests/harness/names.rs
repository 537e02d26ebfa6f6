//! A name server within the test's process: records are put and got over HTTP, as at a pkarr relay.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use iroh::{EndpointId, SecretKey, address_lookup::EndpointInfo};

/// Where records are.
const PATH: &str = "/pkarr/";

/// A name server. It serves for as long as the test's process lives.
pub(crate) struct NameServer {
    addr: SocketAddr,
    records: Arc<Mutex<Records>>,
}

#[derive(Default)]
struct Records {
    now: BTreeMap<String, Vec<u8>>,
    /// Everything that was ever put.
    all: Vec<Vec<u8>>,
}

impl NameServer {
    pub(crate) fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// At an address, which is where this is called.
    pub(crate) fn start_at(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).expect("a port");
        let addr = listener.local_addr().expect("an address");
        let records = Arc::<Mutex<Records>>::default();
        let kept = Arc::clone(&records);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                thread::spawn(move || serve(&client, &kept));
            }
        });
        Self { addr, records }
    }

    /// As `IROSH_DNS` takes it. Nobody listens for DNS there.
    pub(crate) fn setting(&self) -> String {
        format!("http://{0}/pkarr,names.invalid,{0}", self.addr)
    }

    /// Puts a record under a key.
    pub(crate) fn put(&self, key: &SecretKey, user_data: &str) {
        let info = EndpointInfo::new(key.public()).with_user_data(user_data.parse().ok());
        let packet = info.to_pkarr_signed_packet(key, 30).expect("a record");
        self.lock().put(&key.public().to_z32(), packet.to_relay_payload());
    }

    /// What the record under a key says, if there is one.
    pub(crate) fn user_data(&self, key: EndpointId) -> Option<String> {
        let records = self.lock();
        let record = String::from_utf8_lossy(records.now.get(&key.to_z32())?).into_owned();
        let (_, said) = record.split_once("user-data=")?;
        Some(said.chars().take_while(|c| c.is_ascii_graphic() || *c == ' ').collect())
    }

    /// The record under a key, as everybody can read it.
    pub(crate) fn record(&self, key: EndpointId) -> Vec<u8> {
        self.lock().now.get(&key.to_z32()).cloned().expect("a record")
    }

    /// Everything that it was ever told.
    pub(crate) fn all(&self) -> Vec<u8> {
        self.lock().all.concat()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    fn put(&mut self, key: &str, record: Vec<u8>) {
        self.all.push(record.clone());
        self.now.insert(key.to_owned(), record);
    }
}

/// Answers one request.
fn serve(client: &TcpStream, records: &Mutex<Records>) -> Option<()> {
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let (method, path) = line.split_once(' ')?;
    let key = path.split(' ').next()?.strip_prefix(PATH)?.to_owned();
    let (method, mut length) = (method.to_owned(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(count) = header.strip_prefix("content-length:") {
            length = count.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
    let (status, answer) = match (method.as_str(), records.now.get(&key)) {
        ("PUT", _) => {
            records.put(&key, body);
            ("204 No Content", Vec::new())
        }
        ("GET", Some(record)) => ("200 OK", record.clone()),
        _ => ("404 Not Found", Vec::new()),
    };
    drop(records);
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
    let mut client = client;
    client.write_all(&[head.as_bytes(), &answer].concat()).ok()
}
