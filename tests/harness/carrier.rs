//! Carries the QUIC of a program that speaks `irosh/1` or `irosh-pair/1` itself: what it does comes on its stdout, and
//! what happens goes to its stdin, a line each. `tests/protocol/wire.py` and `pair.py` have the words.

use std::{collections::HashMap, process::Stdio, str::FromStr};

use iroh::{
    Endpoint, EndpointAddr, EndpointId, SecretKey,
    endpoint::{Connection, ConnectionError, ReadError, RecvStream, SendStream},
};
use iroh_tickets::endpoint::EndpointTicket;
use irosh::{
    protocol::EXPORTER_LENGTH,
    transport::{PAIRING_ALPN, bind_client, bind_pairing},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::mpsc,
};

use super::{Host, Meeting, Raw, RawHost};

/// Streams that a peer may open here, and bytes on each: enough for a script.
const STREAMS: u32 = 64;
const BYTES: u32 = 1 << 20;

/// The endpoint at which a code is shown.
const SHOWN: &str = "";

fn key(seed: &str) -> SecretKey {
    let seed: [u8; 32] = hex::decode(seed).expect("hex").try_into().expect("32 bytes");
    SecretKey::from_bytes(&seed)
}

/// What happens to a program, as it is told.
type Events = mpsc::UnboundedSender<String>;

/// A program, and what it is carried on.
pub(crate) struct Carrier {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    events: Events,
    /// What it reaches.
    host: Option<EndpointAddr>,
    connections: HashMap<String, Connection>,
    /// Held open for their connections.
    endpoints: Vec<Raw>,
    /// The same of pairings, whose endpoints are known by their connections.
    of_pairings: HashMap<String, Endpoint>,
    streams: HashMap<String, mpsc::UnboundedSender<Act>>,
    /// Streams that the other side has opened come here, each with its name.
    opened: mpsc::UnboundedReceiver<Came>,
    opens: mpsc::UnboundedSender<Came>,
}

enum Came {
    Connection(String, Connection),
    Stream(String, SendStream),
}

enum Act {
    Data(Vec<u8>),
    End,
    Reset(u32),
}

impl Carrier {
    /// Starts a program, which reaches a host, or is one.
    pub(crate) fn start(mut command: Command, host: Option<&Host>) -> Self {
        let addr = |host: &Host| EndpointTicket::from_str(&host.ticket()).expect("a ticket").into();
        let host = host.map(addr);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("a program");
        let mut stdin = child.stdin.take().expect("its stdin");
        let lines = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        let (events, mut happened) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(event) = happened.recv().await {
                // It may have ended.
                let _ = stdin.write_all(event.as_bytes()).await;
            }
        });
        let (opens, opened) = mpsc::unbounded_channel();
        let (connections, endpoints, streams) = (HashMap::new(), Vec::new(), HashMap::new());
        let of_pairings = HashMap::new();
        Self { child, lines, events, host, connections, endpoints, of_pairings, streams, opened, opens }
    }

    /// Carries it until it asks for something, or ends; it is answered with [`Self::seen`].
    pub(crate) async fn asks(&mut self) -> Option<String> {
        loop {
            tokio::select! {
                biased;
                Some(came) = self.opened.recv() => match came {
                    Came::Connection(name, connection) => self.takes(name, connection),
                    Came::Stream(name, send) => _ = self.streams.insert(name, writer(send)),
                },
                line = self.lines.next_line() => {
                    let line = line.expect("text")?;
                    match line.strip_prefix("ask ") {
                        Some(what) => return Some(what.to_owned()),
                        None => self.does(&line).await,
                    }
                }
            }
        }
    }

    /// Carries a side of a pairing until it asks for something, or ends.
    pub(crate) async fn asks_at(&mut self, meeting: &Meeting) -> Option<String> {
        loop {
            let asked = self.asks().await?;
            let words: Vec<_> = asked.split(' ').collect();
            match words[..] {
                ["to-show"] => self.shows(meeting).await,
                ["to-announce", seed, id, until] => {
                    meeting.names.put(&key(seed), &format!("{id} {until}"));
                    self.tell("announced\n".to_owned());
                }
                ["to-find", seed] => self.finds(meeting, seed).await,
                ["to-meet", name, id] => self.meets(meeting, name, id).await,
                ["for-ids", name] => {
                    let own = self.of_pairings.get(name).or_else(|| self.of_pairings.get(SHOWN));
                    let own = own.expect("an endpoint").id();
                    let other = self.connections[name].remote_id();
                    self.tell(format!("ids {name} {own} {other}\n"));
                }
                _ => return Some(asked),
            }
        }
    }

    async fn shows(&mut self, meeting: &Meeting) {
        let endpoint = bind_pairing(&meeting.network()).await.expect("an endpoint");
        self.tell(format!("showing {}\n", endpoint.id()));
        self.of_pairings.insert(SHOWN.to_owned(), endpoint.clone());
        tokio::spawn(accept(RawHost { endpoint }, self.opens.clone(), self.events.clone()));
    }

    async fn finds(&self, meeting: &Meeting, seed: &str) {
        let id =
            || meeting.names.user_data(key(seed).public())?.split(' ').next()?.parse::<EndpointId>().ok();
        let id = id().expect("a record with an id");
        self.tell(format!("found {id}\n"));
    }

    async fn meets(&mut self, meeting: &Meeting, name: &str, id: &str) {
        let endpoint = bind_client(&meeting.network()).await.expect("an endpoint");
        let id: EndpointId = id.parse().expect("an id");
        let connection = loop {
            // Its own record may not be there yet.
            match endpoint.connect(id, PAIRING_ALPN).await {
                Ok(connection) => break connection,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        };
        self.of_pairings.insert(name.to_owned(), endpoint);
        self.takes(name.to_owned(), connection);
        self.tell(format!("came {name}\n"));
    }

    /// What it asked for is there.
    pub(crate) fn seen(&self) {
        self.tell("seen\n".to_owned());
    }

    /// Carries it until it ends, which it has to do in peace.
    pub(crate) async fn ends(mut self) {
        if let Some(asked) = self.asks().await {
            panic!("it asks for {asked}");
        }
        let status = self.child.wait().await.expect("a status");
        assert!(status.success(), "the script failed: see above");
    }

    async fn does(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["connect", name] => {
                let raw = Raw::connect_to(self.host.clone().expect("a host")).await;
                self.takes(name.to_owned(), raw.connection.clone());
                self.endpoints.push(raw);
            }
            ["listen"] => {
                let host = RawHost::granting(STREAMS, BYTES).await;
                self.tell(format!("listening {}\n", host.ticket()));
                tokio::spawn(accept(host, self.opens.clone(), self.events.clone()));
            }
            ["export", name, label, context] => {
                let [label, context] = [label, context].map(|text| hex::decode(text).expect("hex"));
                let mut exported = [0; EXPORTER_LENGTH];
                let export = self.connections[name].export_keying_material(&mut exported, &label, &context);
                assert!(export.is_ok(), "keying material");
                self.tell(format!("exported {name} {}\n", hex::encode(exported)));
            }
            // Where the connection is closed already, the script is told so.
            ["open", connection, name] => {
                if let Ok((send, recv)) = self.connections[connection].open_bi().await {
                    self.streams.insert(name.to_owned(), writer(send));
                    tokio::spawn(read(name.to_owned(), recv, self.events.clone()));
                }
            }
            ["data", name, bytes] => self.act(name, Act::Data(hex::decode(bytes).expect("hex"))),
            ["end", name] => self.act(name, Act::End),
            ["reset", name, code] => self.act(name, Act::Reset(code.parse().expect("a code"))),
            ["close", name, code] => {
                let code: u32 = code.parse().expect("a code");
                self.connections[name].close(code.into(), b"");
            }
            _ => panic!("the script says {line}"),
        }
    }

    fn takes(&mut self, name: String, connection: Connection) {
        let (closing, to, of) = (connection.clone(), self.events.clone(), name.clone());
        tokio::spawn(async move {
            let code = match closing.closed().await {
                ConnectionError::ApplicationClosed(close) => close.error_code.to_string(),
                _ => "-1".to_owned(),
            };
            let _ = to.send(format!("closed {of} {code}\n"));
        });
        self.connections.insert(name, connection);
    }

    fn act(&self, name: &str, act: Act) {
        if let Some(stream) = self.streams.get(name) {
            let _ = stream.send(act);
        }
    }

    fn tell(&self, event: String) {
        let _ = self.events.send(event);
    }
}

/// Takes connections, and each stream that is opened on them.
async fn accept(host: RawHost, opens: mpsc::UnboundedSender<Came>, events: Events) {
    for number in 0.. {
        let Some(incoming) = host.endpoint.accept().await else { return };
        let Ok(connection) = incoming.accept().expect("accepted").await else { continue };
        let name = format!("c{number}");
        let _ = opens.send(Came::Connection(name.clone(), connection.clone()));
        let _ = events.send(format!("came {name}\n"));
        let (opens, events) = (opens.clone(), events.clone());
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((send, recv)) = connection.accept_bi().await else { return };
                let stream = format!("{name}s{number}");
                let _ = opens.send(Came::Stream(stream.clone(), send));
                let _ = events.send(format!("opened {name} {stream}\n"));
                tokio::spawn(read(stream, recv, events.clone()));
            }
        });
    }
}

/// Does what is to be done on a stream, in turn.
fn writer(mut send: SendStream) -> mpsc::UnboundedSender<Act> {
    let (sender, mut acts) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(act) = acts.recv().await {
            let _ = match act {
                Act::Data(bytes) => send.write_all(&bytes).await.map_err(|_| ()),
                Act::End => send.finish().map_err(|_| ()),
                Act::Reset(code) => send.reset(code.into()).map_err(|_| ()),
            };
        }
    });
    sender
}

async fn read(name: String, mut recv: RecvStream, events: Events) {
    loop {
        let event = match recv.read_chunk(64 << 10).await {
            Ok(Some(chunk)) => format!("data {name} {}\n", hex::encode(&chunk)),
            Ok(None) => format!("end {name}\n"),
            Err(ReadError::Reset(code)) => format!("reset {name} {code}\n"),
            Err(_) => return,
        };
        let over = !event.starts_with("data");
        let _ = events.send(event);
        if over {
            return;
        }
    }
}
