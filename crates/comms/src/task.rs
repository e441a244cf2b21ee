//! Tasks: a request, and the states that its responses take it through.
//!
//! ```text
//! submitted ──► working ◄──► input-required, auth-required
//!     │            │                 │
//!     └────────────┴─────────────────┴──► completed, failed, rejected   by the agent that does it
//!                                    └──► canceled                      by either
//! ```
//!
//! The states are those of A2A 1.0 (`TaskState`, <https://a2a-protocol.org/latest/specification/>). A task that has ended
//! stays as it is, save that who asked for it may have called it off meanwhile ([`TaskState::become_by`]).

use crate::CommsError;

/// How a task stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, PartialOrd, Ord)]
pub enum TaskState {
    /// Sent, and nobody has said anything of it.
    Submitted,
    /// Taken on.
    Working,
    /// Waits for an answer of the requester.
    InputRequired,
    /// Waits for a permission.
    AuthRequired,
    /// Done.
    Completed,
    /// Ended without a result.
    Failed,
    /// Called off.
    Canceled,
    /// Not taken on.
    Rejected,
}

/// Who speaks of a task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Who has asked for it.
    Requester,
    /// Who does it.
    Assignee,
}

impl TaskState {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Working => "working",
            Self::InputRequired => "input-required",
            Self::AuthRequired => "auth-required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Rejected => "rejected",
        }
    }

    /// The state that a response's `status` names.
    #[must_use]
    pub fn of_status(status: &str) -> Option<Self> {
        match status {
            "accepted" => Some(Self::Working),
            status => Self::ALL.into_iter().find(|state| state.name() == status),
        }
    }

    /// Whether it stays so.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled | Self::Rejected)
    }

    /// What it becomes in the book of one of the two when one of them says so. To say what is so already changes nothing.
    ///
    /// A task may be called off by the one while the other ends it, and each hears of it too late. What the requester's book heard first
    /// holds in both: there the end stays, whoever says otherwise; and the assignee's book, which has the assignee's own word first,
    /// takes it back when the requester calls the task off, for a requester who has heard of the end does not.
    ///
    /// # Errors
    /// [`CommsError::TaskState`] when it has ended otherwise, or it is not for this one to say.
    pub fn become_by(self, to: Self, by: Role, book: Role) -> Result<Self, CommsError> {
        let may = match by {
            Role::Assignee => to != Self::Submitted,
            Role::Requester => to == Self::Canceled,
        };
        let open = !self.has_ended() || (by == Role::Requester && book == Role::Assignee);
        if may && (self == to || open) {
            return Ok(to);
        }
        let by = if by == Role::Requester { "requester" } else { "assignee" };
        Err(CommsError::TaskState { from: self.name(), to: to.name(), by })
    }

    /// The number that it is stored as.
    pub(crate) fn code(self) -> i64 {
        Self::ALL.iter().zip(0..).find(|(state, _)| **state == self).map_or(0, |(_, code)| code)
    }

    pub(crate) fn of_code(code: i64) -> Option<Self> {
        usize::try_from(code).ok().and_then(|code| Self::ALL.get(code).copied())
    }

    /// All of them, in the order of their numbers in storage.
    pub const ALL: [Self; 8] = [
        Self::Submitted,
        Self::Working,
        Self::InputRequired,
        Self::AuthRequired,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
        Self::Rejected,
    ];
}

/// The type of a request, which is a task.
pub const REQUEST: &str = "agent.comms.request";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_goes_where_the_picture_says_and_nowhere_else() {
        for from in TaskState::ALL {
            for to in TaskState::ALL {
                let open = !from.has_ended();
                for book in [Role::Requester, Role::Assignee] {
                    let expected = to != TaskState::Submitted && (open || from == to);
                    let by_assignee = from.become_by(to, Role::Assignee, book).is_ok();
                    assert_eq!(by_assignee, expected, "{from:?} to {to:?}");
                    let expected = open || from == to || book == Role::Assignee;
                    let by_requester = from.become_by(to, Role::Requester, book).is_ok();
                    assert_eq!(by_requester, to == TaskState::Canceled && expected, "{from:?} to {to:?}");
                }
            }
        }
    }

    #[test]
    fn states_have_names_and_numbers_that_lead_back() {
        for (state, code) in TaskState::ALL.into_iter().zip(0..) {
            assert_eq!(TaskState::of_status(state.name()), Some(state));
            assert_eq!((state.code(), TaskState::of_code(code)), (code, Some(state)));
        }
        assert_eq!(TaskState::of_status("accepted"), Some(TaskState::Working));
        assert_eq!((TaskState::of_status("done"), TaskState::of_code(8)), (None, None));
    }
}
