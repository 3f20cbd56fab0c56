//! Database functions: the few that this cloud has, and how they are called.
//!
//! Name and arguments → a function of [`FUNCTIONS`] → its value, or a plan over its rows. `POST` names the
//! arguments in a JSON object; `GET` in the query, where what reads as a filter is one and not an argument,
//! and only for functions that change nothing.
//! Wire source: PostgREST 14, "Functions as RPC".
//!
//! | Function                      | Changes | Result                                                   |
//! |-------------------------------|---------|----------------------------------------------------------|
//! | `now()`                       | nothing | the server's time                                        |
//! | `add(a, b)`                   | nothing | the sum of two whole numbers                             |
//! | `echo(value)`                 | nothing | what was given, as JSON                                  |
//! | `messages_in(conversation)`   | nothing | messages that the caller may see, in order of their `seq` |
//! | `touch_profile()`             | a row   | nothing; the caller was active just now                  |

use http::{Method, StatusCode};
use rusqlite::{Connection, TransactionBehavior, types::Value};

use super::{
    RestRequest, Settings,
    error::{ApiError, Outcome},
    filter::{self, Filter, Operator, Test, Tree},
    headers::{self, Applies, Preferences, Shape},
    json::{Json, quoted},
    near,
    plan::Node,
    read,
    request::Query,
    respond::Answer,
    scan::Field,
    select::OrderTerm,
    value,
};
use crate::core::{
    Identity, db,
    schema::{self, PgType, Table},
};

/// A function that can be called.
#[derive(Clone, Copy, Debug)]
struct Function {
    name: &'static str,
    parameters: &'static [Parameter],
    body: Body,
}

#[derive(Clone, Copy, Debug)]
struct Parameter {
    name: &'static str,
    ty: PgType,
}

/// What a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Now,
    Add,
    Echo,
    MessagesIn,
    TouchProfile,
}

impl Body {
    const fn changes_rows(self) -> bool {
        matches!(self, Self::TouchProfile)
    }
}

const A: Parameter = Parameter { name: "a", ty: PgType::Int8 };
const B: Parameter = Parameter { name: "b", ty: PgType::Int8 };
const VALUE: Parameter = Parameter { name: "value", ty: PgType::Jsonb };
const CONVERSATION: Parameter = Parameter { name: "conversation", ty: PgType::Uuid };

const FUNCTIONS: &[Function] = &[
    Function { name: "now", parameters: &[], body: Body::Now },
    Function { name: "add", parameters: &[A, B], body: Body::Add },
    Function { name: "echo", parameters: &[VALUE], body: Body::Echo },
    Function { name: "messages_in", parameters: &[CONVERSATION], body: Body::MessagesIn },
    Function { name: "touch_profile", parameters: &[], body: Body::TouchProfile },
];

/// An argument, as it came: JSON of a body or text of a query.
#[derive(Clone, Debug)]
enum Argument {
    Json(Json),
    Text(String),
}

/// Answers a call of `name`.
pub(super) fn call(
    conn: &mut Connection,
    identity: &Identity,
    request: &RestRequest,
    settings: Settings,
    name: &str,
) -> Outcome<Answer> {
    let posted = match request.method {
        Method::POST => true,
        Method::GET | Method::HEAD => false,
        ref other => {
            let message = format!("Cannot use the {other} method on RPC");
            return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "PGRST101", message));
        }
    };
    headers::check_profile(&request.method, &request.headers)?;
    let (arguments, query) = split(request, posted)?;
    let messages = schema::find(settings.tables, "messages");
    let known = FUNCTIONS.iter().filter(|function| function.body != Body::MessagesIn || messages.is_some());
    let function = known.clone().find(|function| function.name == name && function.takes(&arguments));
    let Some(function) = function else { return Err(unknown(name, &arguments, posted, known.copied())) };
    let preferences = Preferences::parse(&request.headers)?;
    let shape = Shape::negotiate(&request.headers)?;
    if preferences.row_limit().is_some() && function.body != Body::MessagesIn {
        let message = "Function must return SETOF or TABLE when max-affected preference is used with handling=strict";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "PGRST128", message));
    }
    if function.body.changes_rows() && !posted {
        let mut error = ApiError::database("25006", "cannot execute UPDATE in a read-only transaction");
        error.status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(error);
    }
    let values = function.values(&arguments)?;
    let transaction = conn.transaction_with_behavior(match function.body.changes_rows() {
        true => TransactionBehavior::Immediate,
        false => TransactionBehavior::Deferred,
    })?;
    let answer = match (function.body, values.as_slice(), messages) {
        (Body::Now, ..) => Answer::value(shape, quoted(&db::timestamptz(jiff::Timestamp::now().as_microsecond()))),
        (Body::Add, [Value::Integer(a), Value::Integer(b)], _) => {
            let sum = a.checked_add(*b).ok_or_else(|| ApiError::database("22003", "bigint out of range"))?;
            Answer::value(shape, sum.to_string())
        }
        (Body::Echo, [Value::Text(json)], _) => Answer::value(shape, json.clone()),
        (Body::MessagesIn, [Value::Text(conversation)], Some(table)) => {
            let node = messages_in(conversation, table, &query, settings)?;
            let page = read::page(&transaction, identity, &node, preferences.count.is_some())?;
            let mut answer = Answer::new(page.status());
            answer.content_range = Some(page.content_range());
            answer.preference_applied = preferences.applied(Applies::default());
            answer.show(shape, &page.columns, page.rows)?;
            answer
        }
        (Body::TouchProfile, ..) => {
            if let Some(profiles) = schema::find(settings.tables, "profiles")
                && !profiles.security.may_write(identity)
            {
                return Err(ApiError::permission_denied(profiles, identity));
            }
            transaction.execute("UPDATE profiles SET last_active_at = now_pg() WHERE id IS ?1", [&identity.user_id])?;
            let mut answer = Answer::new(StatusCode::NO_CONTENT);
            answer.content_range = Some("0-0/*".to_owned());
            answer
        }
        // A null where a value is needed gives a null, as a strict function would.
        _ => Answer::value(shape, "null".to_owned()),
    };
    transaction.commit()?;
    Ok(answer)
}

impl Function {
    /// Whether the arguments are the parameters.
    fn takes(&self, arguments: &[(String, Argument)]) -> bool {
        let given = |parameter: &Parameter| arguments.iter().any(|(name, _)| name == parameter.name);
        self.parameters.iter().all(given)
            && arguments.iter().all(|(name, _)| self.parameters.iter().any(|parameter| parameter.name == name))
    }

    /// The arguments in the order of the parameters; null for those left out.
    fn values(&self, arguments: &[(String, Argument)]) -> Outcome<Vec<Value>> {
        let value = |parameter: &Parameter| match arguments
            .iter()
            .find(|(name, _)| name == parameter.name)
            .map(|(_, argument)| argument)
        {
            None => Ok(Value::Null),
            Some(Argument::Json(json)) => value::from_json(parameter.ty, json),
            Some(Argument::Text(text)) => value::from_text(parameter.ty, text),
        };
        self.parameters.iter().map(value).collect()
    }

    fn signature(&self) -> String {
        let names: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name).collect();
        match names.is_empty() {
            true => format!("public.{}", self.name),
            false => format!("public.{}({})", self.name, names.join(", ")),
        }
    }
}

/// The arguments of a call, and what its query says about the result.
fn split(request: &RestRequest, posted: bool) -> Outcome<(Vec<(String, Argument)>, Query)> {
    let raw = request.query.as_deref().unwrap_or_default();
    if posted {
        let query = Query::parse(raw)?;
        let text = std::str::from_utf8(&request.body).map_err(|_| ApiError::bad_body("Empty or invalid json"))?;
        if text.trim().is_empty() {
            return Ok((Vec::new(), query));
        }
        return match Json::parse(text) {
            Ok(Json::Object(fields)) => {
                Ok((fields.into_iter().map(|(name, json)| (name, Argument::Json(json))).collect(), query))
            }
            Ok(Json::List(_)) => Err(ApiError::bad_body("All object keys must match")),
            _ => Err(ApiError::bad_body("Empty or invalid json")),
        };
    }
    let (mut arguments, mut rest) = (Vec::new(), url::form_urlencoded::Serializer::new(String::new()));
    for (name, text) in url::form_urlencoded::parse(raw.as_bytes()) {
        let last = name.rsplit('.').next().unwrap_or_default();
        let reserved = matches!(last, "select" | "order" | "limit" | "offset" | "and" | "or" | "columns");
        if reserved || filter::parse_value(&text).is_ok() {
            rest.append_pair(&name, &text);
        } else {
            arguments.push((name.into_owned(), Argument::Text(text.into_owned())));
        }
    }
    Ok((arguments, Query::parse(&rest.finish())?))
}

/// The messages of a conversation, and what the query makes of them.
fn messages_in(conversation: &str, table: &'static Table, query: &Query, settings: Settings) -> Outcome<Node<'static>> {
    let mut node = Node::plan(settings.tables, table, query, settings.max_rows.map(i64::from))?;
    let field = |name: &str| Field { name: name.to_owned(), path: Vec::new() };
    let test = Test::Compare { operator: Operator::Eq, quantifier: None, value: conversation.to_owned() };
    node.conditions.push(Tree::Leaf(Filter { field: field("conversation_id"), negated: false, test }));
    if node.order.is_empty() {
        let by = OrderTerm { relation: None, field: field("seq"), descending: false, nulls_first: None };
        node.order.push(by);
    }
    Ok(node)
}

fn unknown(
    name: &str,
    arguments: &[(String, Argument)],
    posted: bool,
    known: impl Iterator<Item = Function>,
) -> ApiError {
    let mut names: Vec<&str> = arguments.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let (signature, with) = if names.is_empty() {
        (" without parameters".to_owned(), " without parameters".to_owned())
    } else {
        let list = names.join(", ");
        let plural = if names.len() == 1 { "parameter" } else { "parameters" };
        (format!("({list})"), format!(" with {plural} {list}"))
    };
    let or_unnamed = if posted { " or with a single unnamed json/jsonb parameter" } else { "" };
    let mut error = ApiError::new(
        StatusCode::NOT_FOUND,
        "PGRST202",
        format!("Could not find the function public.{name}{signature} in the schema cache"),
    )
    .details(format!(
        "Searched for the function public.{name}{with}{or_unnamed}, but no matches were found in the schema cache."
    ));
    let known: Vec<Function> = known.collect();
    let meant = near::nearest(known.iter().map(|function| function.name), name);
    if let Some(function) = known.iter().find(|function| meant.contains(&function.name)) {
        error = error.hint(format!("Perhaps you meant to call the function {}", function.signature()));
    }
    error
}
