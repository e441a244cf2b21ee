//! Mail, kept.

use std::cell::{Cell, RefCell};
use std::future::ready;
use std::rc::Rc;

use murmuration_platform::{Letter, MailError, MailFuture, Mailer};

use super::Faults;

/// Letters, kept.
#[derive(Default)]
pub struct Postbox {
    pub letters: RefCell<Vec<Letter>>,
    pub is_away: Cell<bool>,
    pub faults: Rc<Faults>,
}

impl Postbox {
    /// The code of the last letter, which was sent for `purpose`.
    pub fn code(&self, purpose: &str) -> String {
        let letters = self.letters.borrow();
        let letter = letters.last().unwrap();
        assert_eq!(letter.purpose, purpose);
        let is_code = |word: &&str| word.len() == 11 && word.as_bytes()[5] == b'-';
        letter.text.split_whitespace().find(is_code).unwrap().to_owned()
    }
}

impl Mailer for Postbox {
    fn send(&self, letter: Letter) -> MailFuture<'_> {
        let answer = self.faults.call(|| match self.is_away.get() {
            true => Err(MailError("the post is away".into())),
            false => {
                self.letters.borrow_mut().push(letter);
                Ok(())
            }
        });
        Box::pin(ready(answer.unwrap_or_else(|| Err(MailError("no answer".into())))))
    }
}
