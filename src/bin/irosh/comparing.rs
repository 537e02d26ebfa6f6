//! What both machines show once they have agreed on a code, and a person's word that it is the same.

use irosh::{client::auth::Answer, log::say, pairing::Verifier, signals::Interrupts};

use super::ask::ask;

/// What a person has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    Same,
    Differs,
    /// Nothing that could be taken for either.
    GivenUp,
    /// There is no terminal at which somebody could be asked.
    Nobody,
}

/// Says what both machines show, and asks whether it is the same there where that is to be asked.
pub(super) async fn compare(verifier: &Verifier, asked: bool, interrupts: &mut Interrupts) -> Compared {
    say(&format!("both machines show:  {verifier}\n"));
    if !asked {
        return Compared::Same;
    }
    let answer = tokio::select! {
        answer = ask("does the other one show these words? [yes/no] ", true) => answer,
        _ = interrupts.next() => return Compared::GivenUp,
    };
    match answer {
        Ok(Answer::Given(said)) => match said.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Compared::Same,
            "n" | "no" => Compared::Differs,
            _ => Compared::GivenUp,
        },
        Ok(Answer::Cancelled | Answer::None) => Compared::GivenUp,
        Err(_) => Compared::Nobody,
    }
}
