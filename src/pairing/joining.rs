//! The side on which a code is typed.
//!
//! Of several who say that they show a code of its nameplate, each is given one guess at the words, and one after the
//! other: one that says no is somebody else, whose code is then dead, and the next may be the right one. What comes
//! before the guess tells nobody anything, and is done with all of them at once.

use std::{collections::HashSet, time::Duration};

use iroh::{Endpoint, EndpointAddr, EndpointId, endpoint::Connection};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep_until, timeout},
};

use super::{
    agreement::{Channel, Keys, Side, Typing},
    announcement::NO_SERVICE,
    code::Code,
    error::PairingError,
    line::{Line, STEP},
    local,
    met::{Met, MetClient, MetHost},
    nameplate::Nameplate,
    search::Search,
};
use crate::{
    log::one_line,
    protocol::pairing::{Confirm, Frame, MAX_STRANGERS_FRAME, Role},
    proxy::name_service_fault,
    transport::{Network, PAIRING_ALPN, bind_client, close_quickly},
};

/// How long it may take to find and to reach who shows the code.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it takes, at the least, until all are found who have the nameplate, where a name service has answered and
/// where not, and after a no: then that is the last word where nobody else is there.
const OTHERS: Duration = Duration::from_millis(1200);
const OTHERS_UNHEARD: Duration = Duration::from_millis(1700);
const OTHERS_AFTER_NO: Duration = Duration::from_millis(500);

/// How long others who were found may take to be reached once somebody has said no.
const AFTER_NO: Duration = Duration::from_secs(5);

/// How often one that was found is tried, and how many tries there may be at a time.
const AGAIN: Duration = Duration::from_millis(700);
const TRIES: usize = 4;

/// With how many the words are tried. Who answers without showing the code has one guess at them.
const GUESSES: usize = 3;

/// As a client: finds the host on which a code is shown, and proves to it that somebody has typed it here. With
/// `compare`, people are to compare what both show.
///
/// # Errors
///
/// [`PairingError`].
pub async fn join_host(network: &Network, code: &Code, compare: bool) -> Result<MetHost, PairingError> {
    join(network, code, Role::Client, compare).await.map(MetHost)
}

/// As a host: finds the client on which a code is shown, in the same way.
///
/// # Errors
///
/// [`PairingError`].
pub async fn join_client(network: &Network, code: &Code, compare: bool) -> Result<MetClient, PairingError> {
    join(network, code, Role::Host, compare).await.map(MetClient)
}

async fn join(network: &Network, code: &Code, role: Role, compare: bool) -> Result<Met, PairingError> {
    let endpoint = bind_client(&network.on_any_port()).await?;
    let search = Search::begin(&endpoint, network, code.nameplate());
    let met = match Tries::new(&endpoint, code, role, compare).until_one(search).await {
        Err(PairingError::Nobody { nameplate, .. }) => Err(nobody(&endpoint, network, nameplate).await),
        other => other,
    };
    if met.is_err() {
        close_quickly(&endpoint).await;
    }
    met
}

/// Why nobody was found, as far as that can be said.
async fn nobody(endpoint: &Endpoint, network: &Network, nameplate: Nameplate) -> PairingError {
    if let (Some(here), None) = (local::obstacle(network), network.dns.service()) {
        return PairingError::NoWay { here, elsewhere: NO_SERVICE.to_owned() };
    }
    let fault = name_service_fault(endpoint, network).await;
    let fault = fault.map(|(service, why)| format!("the name service at {service} cannot be asked: {why}"));
    PairingError::Nobody { nameplate, fault }
}

/// With whom the words are tried.
struct Tries<'a> {
    endpoint: &'a Endpoint,
    code: &'a Code,
    role: Role,
    compare: bool,
    begun: Instant,
    /// How many guesses at the words are left to give.
    guesses: usize,
    /// Who was found, and with whom they were tried.
    found: HashSet<EndpointId>,
    tried: HashSet<EndpointId>,
    /// When somebody has said no, and what.
    no: Option<(Instant, PairingError)>,
    /// Why somebody was not reached.
    unreached: Option<String>,
}

impl<'a> Tries<'a> {
    fn new(endpoint: &'a Endpoint, code: &'a Code, role: Role, compare: bool) -> Self {
        let (begun, found, tried) = (Instant::now(), HashSet::new(), HashSet::new());
        let guesses = GUESSES;
        Self { endpoint, code, role, compare, begun, guesses, found, tried, no: None, unreached: None }
    }

    /// Tries all who are found, until one knows the words.
    async fn until_one(mut self, mut search: Search) -> Result<Met, PairingError> {
        let (mut approaches, mut searched) = (JoinSet::new(), false);
        loop {
            let end = self.end(&search);
            tokio::select! {
                biased;
                Some(approached) = approaches.join_next() => match approached {
                    Ok((id, Ok(stranger))) => {
                        if let Some(met) = self.guess(id, stranger).await {
                            return Ok(met);
                        }
                        search.look_again();
                    }
                    Ok((id, Err(Missed::Said(error)))) => self.note(id, error),
                    Ok((_, Err(Missed::Unreached(why)))) => self.unreached = Some(why),
                    Err(_) => {}
                },
                addr = search.next(), if !searched => match addr {
                    Some(addr) => {
                        self.found.insert(addr.id);
                        let (endpoint, code, role) = (self.endpoint.clone(), self.code.clone(), self.role);
                        let end = self.begun + PATIENCE;
                        approaches.spawn(async move {
                            (addr.id, approach(&endpoint, addr, &code, role, end).await)
                        });
                    }
                    None => searched = true,
                },
                () = sleep_until(end) => return Err(self.outcome()),
            }
            let nobody_comes = searched && self.found.is_empty();
            if self.guesses == 0 || nobody_comes {
                return Err(self.outcome());
            }
        }
    }

    /// When it is to be given up, as things are.
    fn end(&self, search: &Search) -> Instant {
        let end = self.begun + PATIENCE;
        let others = if search.has_answered() { OTHERS } else { OTHERS_UNHEARD };
        match &self.no {
            None => end,
            Some((at, _)) if self.found.is_subset(&self.tried) => {
                end.min((*at + OTHERS_AFTER_NO).max(self.begun + others))
            }
            Some((at, _)) => end.min(*at + AFTER_NO),
        }
    }

    fn outcome(self) -> PairingError {
        let nameplate = self.code.nameplate();
        match (self.no, self.unreached) {
            (Some((_, error)), _) => error,
            (None, Some(why)) => PairingError::Unreached(nameplate, why),
            (None, None) => PairingError::Nobody { nameplate, fault: None },
        }
    }

    /// What somebody has said who is not the right one. What tells most is told at the end.
    fn note(&mut self, id: EndpointId, error: PairingError) {
        tracing::debug!("not this one: {error}");
        self.tried.insert(id);
        let error = match error {
            // Of the two, this one is meant.
            PairingError::SameRole(_) => PairingError::SameRole(self.role),
            other => other,
        };
        let known = self.no.as_ref().is_some_and(|(_, known)| known.is_wrong_code());
        if !known || error.is_wrong_code() {
            self.no = Some((Instant::now(), error));
        }
    }

    /// Tries the words with one. Nothing where another one may be the right one.
    async fn guess(&mut self, id: EndpointId, mut stranger: Stranger) -> Option<Met> {
        // Who was found in two ways is one.
        if !self.tried.insert(id) {
            return None;
        }
        self.guesses -= 1;
        match self.confirm(&mut stranger).await {
            Ok(theirs) => {
                if self.no.as_ref().is_some_and(|(_, no)| no.is_wrong_code()) {
                    tracing::warn!(
                        "somebody else has answered, with other words, and has had a guess at these: \
                         to be sure, compare what both machines show (--verify)"
                    );
                }
                let Stranger { line, keys } = stranger;
                let (verifier, compare) =
                    (keys.verifier(Side::Shows, &theirs), self.compare || theirs.compare);
                Some(Met { endpoint: self.endpoint.clone(), line, keys, verifier, compare })
            }
            Err(error) => {
                self.note(id, error);
                None
            }
        }
    }

    /// What the other side says that proves that it knows the words.
    async fn confirm(&self, stranger: &mut Stranger) -> Result<Confirm, PairingError> {
        let Stranger { line, keys } = stranger;
        line.say(&Frame::Confirm(keys.confirm(Side::Types, self.compare)).encode()).await?;
        let (frame, _) = line.hear(MAX_STRANGERS_FRAME, STEP).await?;
        let Frame::Confirm(confirm) = frame else { return Err(frame.unexpected().into()) };
        let knows = keys.keeps_promise(&confirm) && keys.confirms(Side::Shows, &confirm);
        if knows { Ok(confirm) } else { Err(PairingError::Wrong) }
    }
}

/// Somebody who says that it shows the code, and was told nothing yet that hangs on the words.
struct Stranger {
    line: Line,
    keys: Keys,
}

/// Why somebody is no stranger to try the words with.
enum Missed {
    /// It was not reached, and why, in one line.
    Unreached(String),
    /// It has said what is none.
    Said(PairingError),
}

/// Connects to who was found, as soon as it can be, and exchanges the first words.
async fn approach(
    endpoint: &Endpoint,
    addr: EndpointAddr,
    code: &Code,
    role: Role,
    end: Instant,
) -> Result<Stranger, Missed> {
    let connection = dial(endpoint, addr, end).await.map_err(Missed::Unreached)?;
    first_words(endpoint, connection, code, role).await.map_err(Missed::Said)
}

async fn first_words(
    endpoint: &Endpoint,
    connection: Connection,
    code: &Code,
    role: Role,
) -> Result<Stranger, PairingError> {
    let no_material = || PairingError::Protocol("the connection gives no keying material".to_owned());
    let channel = Channel::of(&connection, endpoint.id(), Side::Types).ok_or_else(no_material)?;
    let mut line = timeout(STEP, Line::open(connection)).await.map_err(|_| PairingError::Deadline)??;
    let (typing, start) = Typing::begin(code, &channel, role);
    line.say(&start).await?;
    let (frame, said) = line.hear(MAX_STRANGERS_FRAME, STEP).await?;
    let Frame::Answer(answer) = &frame else { return Err(frame.unexpected().into()) };
    let no_message = |_| PairingError::Protocol("no message of SPAKE2".to_owned());
    let keys = typing.answered(answer, &said).map_err(no_message)?;
    Ok(Stranger { line, keys })
}

/// Where it is may not be known yet, and a look-up that hangs is not waited for: it is tried again while it is tried.
async fn dial(endpoint: &Endpoint, addr: EndpointAddr, end: Instant) -> Result<Connection, String> {
    let mut tries: JoinSet<Result<Connection, String>> = JoinSet::new();
    let mut again = interval(AGAIN);
    let mut why = "it did not answer".to_owned();
    loop {
        tokio::select! {
            Some(tried) = tries.join_next() => match tried {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => {
                    why = one_line(&error);
                    tracing::debug!("{} is not reached: {why}", addr.id.fmt_short());
                }
                Err(_) => {}
            },
            _ = again.tick() => if tries.len() < TRIES {
                let (endpoint, addr) = (endpoint.clone(), addr.clone());
                tries.spawn(async move {
                    endpoint.connect(addr, PAIRING_ALPN).await.map_err(|error| error.to_string())
                });
            },
            () = sleep_until(end) => return Err(why),
        }
    }
}
