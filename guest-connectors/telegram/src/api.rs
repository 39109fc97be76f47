//! Calls of the Bot API.

use kheish_guest::http::{Client, Error, FormField, Request, Response};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    manifest::BOT_TOKEN,
    settings::{Settings, TOKEN_MARKER},
};

mod refused;

pub(crate) use refused::Refused;

/// The Bot API, as one connector calls it.
pub(crate) struct Api<'c, C> {
    pub(crate) client: &'c C,
    pub(crate) settings: &'c Settings,
}

/// What a method is given: names and values, each once.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Params(Map<String, Value>);

/// Why a call brought nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Nobody answered.
    Unanswered(Error),
    /// The answer is no.
    Refused(Refused),
}

/// The frame of every answer.
#[derive(Deserialize)]
struct Envelope<R> {
    ok: bool,
    result: Option<R>,
    description: Option<String>,
    error_code: Option<u16>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

impl<C: Client> Api<'_, C> {
    /// A request for a method, with the token in its place.
    pub(crate) fn request(&self, method: &str) -> Request {
        Request::post(self.settings.method_url(method)).path_credential(TOKEN_MARKER, BOT_TOKEN)
    }

    /// Calls a method.
    pub(crate) fn call<R: DeserializeOwned>(&self, method: &str, params: &Params) -> Result<R, Trouble> {
        self.send(self.request(method).json(params))
    }

    /// Calls a method with a file beside the parameters.
    pub(crate) fn upload<R: DeserializeOwned>(
        &self,
        method: &str,
        params: &Params,
        file: FormField,
    ) -> Result<R, Trouble> {
        let fields = params.0.iter().map(|(name, value)| match value {
            Value::String(text) => FormField::text(name, text),
            other => FormField::text(name, other.to_string()),
        });
        self.send(self.request(method).multipart(fields.chain([file]).collect()))
    }

    /// Sends a request and opens the frame of its answer.
    pub(crate) fn send<R: DeserializeOwned>(&self, request: Request) -> Result<R, Trouble> {
        let response = self.client.send(request).map_err(Trouble::Unanswered)?;
        open(&response).map_err(Trouble::Refused)
    }
}

impl Params {
    /// Adds a parameter.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a parameter where there is one.
    #[must_use]
    pub(crate) fn with_some(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

/// Opens the frame of an answer.
pub(crate) fn open<R: DeserializeOwned>(response: &Response) -> Result<R, Refused> {
    let refused = |status, description: String, parameters: Parameters| Refused {
        status,
        description,
        retry_after_ms: parameters.retry_after.map(|secs| secs.saturating_mul(1_000)).or(response.retry_after_ms()),
        migrate_to: parameters.migrate_to_chat_id,
        in_frame: true,
    };
    match response.json::<Envelope<R>>() {
        Ok(Envelope { ok: true, result: Some(result), .. }) => Ok(result),
        Ok(Envelope { ok: false, description, error_code, parameters, .. }) => {
            let status = error_code.unwrap_or(response.status);
            Err(refused(status, description.unwrap_or_else(|| "no reason given".to_owned()), parameters))
        }
        // Something that stands between: a proxy, or a server that is none.
        Ok(_) | Err(_) => {
            let description = format!("status {} and no answer of the Bot API", response.status);
            Err(Refused { in_frame: false, ..refused(response.status, description, Parameters::default()) })
        }
    }
}
