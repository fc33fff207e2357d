//! One question, one answer: may this identity do this to that? Used by every route and every upgrade.

use berth_protocol::{api::Role, error_code::ErrorCode, ids::UserId};

/// Who asks: the result of one credential check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: UserId,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// `GET /api/me` and the pages of a signed-in user.
    ReadSelf,
    /// List own sessions and follow their changes.
    ListSessions,
    /// Make a session.
    CreateSession,
    /// See a session's state.
    ReadSession,
    /// Rename a session.
    RenameSession,
    /// Boot a session's container.
    StartSession,
    /// End a session's container.
    StopSession,
    /// Delete a session.
    DeleteSession,
    /// Open a terminal connection; the role decides whether it may type.
    AttachSession,
}

/// What it is asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// The deployment itself, and what belongs to the caller.
    Deployment,
    /// A session in which the caller has this role, or none.
    Session(Option<Role>),
}

impl Action {
    /// Every action, for the table test.
    pub const ALL: [Action; 9] = [
        Action::ReadSelf,
        Action::ListSessions,
        Action::CreateSession,
        Action::ReadSession,
        Action::RenameSession,
        Action::StartSession,
        Action::StopSession,
        Action::DeleteSession,
        Action::AttachSession,
    ];

    /// The least role in a session that allows this, or none when it is no session's business.
    const fn least_role(self) -> Option<Role> {
        match self {
            Action::ReadSelf | Action::ListSessions | Action::CreateSession => None,
            Action::ReadSession | Action::AttachSession => Some(Role::Viewer),
            Action::StartSession | Action::StopSession => Some(Role::Editor),
            Action::RenameSession | Action::DeleteSession => Some(Role::Owner),
        }
    }
}

/// Decides. A session without a role for the caller is `NotFound`, so that ids of others cannot be told from free ones.
pub fn authorize(identity: Option<&Identity>, action: Action, resource: Resource) -> Result<Identity, ErrorCode> {
    let identity = *identity.ok_or(ErrorCode::SignInRequired)?;
    match (action.least_role(), resource) {
        (None, Resource::Deployment) => Ok(identity),
        (Some(least), Resource::Session(Some(role))) if role >= least => Ok(identity),
        (Some(_), Resource::Session(Some(_))) => Err(ErrorCode::NotAllowed),
        (Some(_), Resource::Session(None)) => Err(ErrorCode::NotFound),
        (None, Resource::Session(_)) | (Some(_), Resource::Deployment) => Err(ErrorCode::NotAllowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_roles_and_actions() {
        use Action::*;
        let somebody = Identity { user: UserId::from_bytes([7; 16]) };
        let allowed = |action, resource| authorize(Some(&somebody), action, resource).is_ok();
        let roles = [None, Some(Role::Viewer), Some(Role::Editor), Some(Role::Owner)];
        let table = [
            //                deployment, [no role, viewer, editor, owner]
            (ReadSelf, true, [false, false, false, false]),
            (ListSessions, true, [false, false, false, false]),
            (CreateSession, true, [false, false, false, false]),
            (ReadSession, false, [false, true, true, true]),
            (AttachSession, false, [false, true, true, true]),
            (StartSession, false, [false, false, true, true]),
            (StopSession, false, [false, false, true, true]),
            (RenameSession, false, [false, false, false, true]),
            (DeleteSession, false, [false, false, false, true]),
        ];
        assert_eq!(table.len(), Action::ALL.len(), "every action has a row");
        for (action, on_deployment, on_session) in table {
            assert_eq!(allowed(action, Resource::Deployment), on_deployment, "{action:?} on the deployment");
            for (role, expected) in roles.into_iter().zip(on_session) {
                assert_eq!(allowed(action, Resource::Session(role)), expected, "{action:?} as {role:?}");
            }
            for role in roles {
                let refusal = authorize(None, action, Resource::Session(role));
                assert_eq!(refusal, Err(ErrorCode::SignInRequired), "nobody may {action:?}");
            }
            assert_eq!(authorize(None, action, Resource::Deployment), Err(ErrorCode::SignInRequired));
        }
    }

    #[test]
    fn a_foreign_session_looks_like_none() {
        let somebody = Identity { user: UserId::from_bytes([7; 16]) };
        assert_eq!(authorize(Some(&somebody), Action::ReadSession, Resource::Session(None)), Err(ErrorCode::NotFound));
    }
}
