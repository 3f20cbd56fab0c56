//! Agents and models of the cloud: ask one, read the answer whole or as it is made.
//!
//! [`Agents`] invokes the agents that an organisation has set up; [`Ai`] asks a model through the cloud's metered
//! proxy. Both are cheap handles over a [`Client`](cloud_client::Client) and both send a question once: a question
//! whose answer was lost may have been answered, and charged, already.
//!
//! ```no_run
//! use cloud_agents::{Ai, AiChunk, AiRequest, ChatMessage};
//!
//! # async fn example(client: cloud_client::Client) -> Result<(), cloud_client::Error> {
//! let ai = Ai::new(client);
//! let request = AiRequest::new([ChatMessage::user("Name three rivers.")]).max_tokens(200);
//! let mut answer = ai.stream(&request).await?;
//! while let Some(chunk) = answer.next().await {
//!     if let AiChunk::Text(text) = chunk? {
//!         print!("{text}");
//!     }
//! }
//! println!("\n{:?}", answer.usage());
//! # Ok(()) }
//! ```
//!
//! | Module      | What lives there                                                             |
//! |-------------|------------------------------------------------------------------------------|
//! | [`agents`]  | the agents of an organisation: list them, invoke one                         |
//! | [`ai`]      | questions to models, [`AiStream`] and the decoder below it, usage, catalogue |
//! | [`message`] | [`ChatMessage`], the turns of a conversation, for both                       |
//! | [`codes`]   | the error codes of this crate                                                |
pub mod agents;
pub mod ai;
pub mod codes;
pub mod message;
mod open_name;

pub use crate::{
    agents::{Agent, AgentReply, Agents, Invocation},
    ai::{Ai, AiChunk, AiReply, AiRequest, AiStream, ToolCall},
    message::ChatMessage,
};
