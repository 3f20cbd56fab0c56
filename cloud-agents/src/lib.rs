//! cloud-agents
