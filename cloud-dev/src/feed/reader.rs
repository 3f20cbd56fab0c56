//! Who reads what: an organisation, perhaps one conversation of it, and a person who is a member.
use http::HeaderMap;
use rusqlite::OptionalExtension as _;

use super::log::Message;
use crate::{cloud::Cloud, gateway};

/// What one reader asked for and may have.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    organization: String,
    conversation: Option<String>,
}

impl Reader {
    pub(super) fn new(organization: &str, conversation: Option<&str>) -> Self {
        Self { organization: organization.to_owned(), conversation: conversation.map(str::to_owned) }
    }

    /// The reader of a topic `feed:{organization}[:{conversation}]`.
    pub(super) fn of_topic(topic: &str) -> Option<Self> {
        let name = topic.strip_prefix("feed:")?;
        let (organization, conversation) = name.split_once(':').map_or((name, None), |(o, c)| (o, Some(c)));
        (!organization.is_empty()).then(|| Self::new(organization, conversation))
    }

    /// Whether `message` is for this reader.
    pub(super) fn may_hear(&self, message: &Message) -> bool {
        let fits = self.conversation.is_none() || self.conversation == message.conversation;
        fits && self.organization == message.organization
    }

    /// Whether `user` is a member of the organisation.
    pub(super) async fn is_allowed(&self, cloud: &Cloud, user: &str) -> bool {
        let (organization, user) = (self.organization.clone(), user.to_owned());
        let member = cloud.db.call(move |conn| {
            let query = "SELECT 1 FROM org_memberships WHERE org_id = ?1 AND user_id = ?2";
            conn.query_row(query, [&organization, &user], |_| Ok(())).optional()
        });
        matches!(member.await, Ok(Some(())))
    }
}

/// The person whose session a request carries.
pub(super) fn person(cloud: &Cloud, headers: &HeaderMap) -> Option<String> {
    let claims = cloud.check(gateway::bearer(headers)?, 0).ok()?;
    Cloud::person(claims)?.user_id
}
