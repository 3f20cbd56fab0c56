//! How many tokens the cloud allows, and how many are left.
//!
//! Wire source: the `cloud-usage` function in its two shapes, `{today{tokens_used, tokens_limit, …}, tier, …}` and
//! `{tokens_used, daily_limit, remaining, …}`, and the `_cloud_usage` that may come with an answer. Where the same
//! thing is said twice, the flat one counts.
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Tokens used and left. What the cloud did not say is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Allowance {
    /// Tokens used in the period.
    pub used: Option<u64>,
    /// Tokens allowed in the period.
    pub limit: Option<u64>,
    /// Tokens left; worked out where only the others are told.
    pub remaining: Option<u64>,
    /// Questions asked in the period.
    pub requests: Option<u64>,
    /// The models that answered.
    pub models: Vec<String>,
    /// The plan, such as `free`.
    pub tier: Option<String>,
    /// The state of the subscription, such as `active`.
    pub subscription_status: Option<String>,
    /// When the period begins and ends.
    pub period: Option<Period>,
    /// Whether there is no limit at all.
    pub unlimited: bool,
    /// Everything the cloud said, as it came.
    pub raw: Map<String, Value>,
}

/// A span of time, as the cloud writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Period {
    /// When it begins, or its name where the cloud gives only that.
    pub start: String,
    /// When it ends.
    pub end: Option<String>,
}

impl From<Map<String, Value>> for Allowance {
    fn from(raw: Map<String, Value>) -> Self {
        let today = raw.get("today").and_then(Value::as_object);
        let find = |names: &[&str]| {
            let flat = names.iter().find_map(|name| raw.get(*name).filter(|value| !value.is_null()));
            flat.or_else(|| names.iter().find_map(|name| today?.get(*name)))
        };
        let number = |names: &[&str]| {
            let value = find(names)?;
            value.as_u64().or_else(|| value.as_i64().map(|_| 0)) // below zero is nothing left
        };
        let text = |name: &str| find(&[name]).and_then(Value::as_str).map(str::to_owned);
        let (used, limit) = (number(&["tokens_used", "used"]), number(&["daily_limit", "tokens_limit", "limit"]));
        let models = find(&["models_used"]).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let period = match raw.get("period") {
            Some(Value::String(name)) => Some(Period { start: name.clone(), end: None }),
            Some(Value::Object(span)) => span.get("start").and_then(Value::as_str).map(|start| Period {
                start: start.to_owned(),
                end: span.get("end").and_then(Value::as_str).map(str::to_owned),
            }),
            _ => None,
        };
        Self {
            used,
            limit,
            remaining: number(&["remaining"]).or_else(|| Some(limit?.saturating_sub(used?))),
            requests: number(&["request_count"]),
            models: models.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect(),
            tier: text("tier"),
            subscription_status: text("subscription_status"),
            period,
            unlimited: find(&["is_unlimited"]).and_then(Value::as_bool).unwrap_or_default(),
            raw,
        }
    }
}

impl<'de> Deserialize<'de> for Allowance {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Map::deserialize(from).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Allowance {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn both_shapes_of_the_usage_answer_say_the_same() {
        let nested = read(json!({
            "today": {"tokens_used": 10, "tokens_limit": 50_000, "request_count": 3, "models_used": ["a", "b"]},
            "tier": "free", "subscription_status": "active", "period": {"start": "2026-01-01", "end": "2026-01-02"},
        }));
        let flat = read(json!({
            "tokens_used": 10, "daily_limit": 50_000, "remaining": 49_990, "tier": "free", "period": "day",
            "request_count": 3, "is_unlimited": false,
        }));
        for allowance in [&nested, &flat] {
            assert_eq!((allowance.used, allowance.limit, allowance.remaining), (Some(10), Some(50_000), Some(49_990)));
            assert_eq!((allowance.requests, allowance.tier.as_deref()), (Some(3), Some("free")));
            assert!(!allowance.unlimited);
        }
        assert_eq!((nested.models.len(), nested.subscription_status.as_deref()), (2, Some("active")));
        let days = nested.period.unwrap();
        assert_eq!((days.start.as_str(), days.end.as_deref()), ("2026-01-01", Some("2026-01-02")));
        assert_eq!(flat.period, Some(Period { start: "day".to_owned(), end: None }));
    }

    #[test]
    fn what_is_missing_null_or_odd_costs_only_itself() {
        let odd = read(json!({"tokens_used": "many", "daily_limit": null, "remaining": -5, "period": 3, "new": true}));
        assert_eq!((odd.used, odd.limit, odd.remaining, &odd.period), (None, None, Some(0), &None));
        assert_eq!(odd.raw["new"], json!(true));
        let unlimited = read(json!({"is_unlimited": true, "tokens_used": 7}));
        assert!(unlimited.unlimited && unlimited.remaining.is_none());
        let refusal = read(json!({"used": 60_000, "limit": 50_000, "tier": "free"}));
        assert_eq!(refusal.remaining, Some(0));
    }
}
