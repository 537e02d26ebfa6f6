//! The SSH method `password` (RFC 4252 section 8) where PAM asks: one password, and nothing else.

use super::{
    client::{PamError, PamProcess, PamStep},
    messages::{Prompt, Secret},
};

impl PamProcess {
    /// Gives PAM one password, and returns what it decides: never [`PamStep::Ask`].
    ///
    /// It answers the first question that is not echoed. Any other question, before or after, fails.
    ///
    /// Not cancel safe: where it is dropped, so must this be.
    ///
    /// # Errors
    ///
    /// [`PamError`]: the user must be refused.
    pub async fn password(&mut self, password: Secret) -> Result<PamStep, PamError> {
        let mut password = Some(password);
        let mut said = String::new();
        loop {
            match self.next().await? {
                PamStep::Ask(questions) => {
                    said.push_str(&questions.instructions);
                    match answers(&questions.prompts, &mut password) {
                        Some(answers) => self.answer(answers)?,
                        None => self.leave_unanswered()?,
                    }
                }
                PamStep::Granted(mut granted) => {
                    granted.messages.insert_str(0, &said);
                    return Ok(PamStep::Granted(granted));
                }
                PamStep::Denied(mut denied) => {
                    denied.messages.insert_str(0, &said);
                    return Ok(PamStep::Denied(denied));
                }
            }
        }
    }
}

/// The password, if it is all that is asked for and was not given before.
fn answers(prompts: &[Prompt], password: &mut Option<Secret>) -> Option<Vec<Secret>> {
    let [Prompt { echo: false, .. }] = prompts else { return None };
    password.take().map(|password| vec![password])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(echo: bool) -> Prompt {
        Prompt { text: "?".to_owned(), echo }
    }

    #[test]
    fn the_first_hidden_question_gets_the_password_and_no_other_anything() {
        let mut password = Some(Secret::new("secret".to_owned()));
        assert_eq!(answers(&[prompt(true)], &mut password), None);
        assert_eq!(answers(&[prompt(false), prompt(false)], &mut password), None);
        let given = answers(&[prompt(false)], &mut password).expect("answers");
        assert_eq!(given, [Secret::new("secret".to_owned())]);
        assert_eq!(answers(&[prompt(false)], &mut password), None);
    }
}
