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
//! stays as it is.

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

    /// What it becomes when one of the two says so. To say what is so already changes nothing.
    ///
    /// # Errors
    /// [`CommsError::TaskState`] when it has ended otherwise, or it is not for this one to say.
    pub fn become_by(self, to: Self, by: Role) -> Result<Self, CommsError> {
        let may = match by {
            Role::Assignee => to != Self::Submitted,
            Role::Requester => to == Self::Canceled,
        };
        if self == to && may {
            return Ok(to);
        }
        if may && !self.has_ended() {
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
                let by_assignee = from.become_by(to, Role::Assignee).is_ok();
                let open = !from.has_ended();
                let expected = match to {
                    TaskState::Submitted => false,
                    to => open || from == to,
                };
                assert_eq!(by_assignee, expected, "{from:?} to {to:?}");
                let by_requester = from.become_by(to, Role::Requester).is_ok();
                assert_eq!(
                    by_requester,
                    to == TaskState::Canceled && (open || from == to),
                    "{from:?} to {to:?}"
                );
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
