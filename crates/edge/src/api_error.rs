//! Errors of the HTTP surface: one table from code to status, public text and hint; the cause goes to the log, here only.

use berth_protocol::{
    api::{ErrorBody, ErrorDetail},
    error_code::ErrorCode,
    ids::RequestId,
};
use worker::{Headers, Response, ResponseBuilder, Result, console_error};

/// A refusal on its way to becoming a response.
#[derive(Debug)]
pub(crate) struct ApiError {
    code: ErrorCode,
    message: String,
    hint: Option<&'static str>,
    cause: Option<String>,
}

/// The result of a handler.
pub(crate) type ApiResult<T> = std::result::Result<T, ApiError>;

impl ApiError {
    /// A refusal with the code's standard text.
    pub(crate) fn new(code: ErrorCode) -> Self {
        let (message, hint) = text(code);
        Self { code, message: message.to_owned(), hint, cause: None }
    }

    /// A refusal whose text names what is wrong with the request.
    pub(crate) fn with_message(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::new(code) }
    }

    /// A failure of ours: logged with its cause, public without.
    pub(crate) fn internal(doing: &str, cause: impl std::fmt::Display) -> Self {
        Self { cause: Some(format!("{doing}: {cause}")), ..Self::new(ErrorCode::Internal) }
    }

    /// The response; logs the cause, once.
    pub(crate) fn into_response(self, request_id: RequestId) -> Result<Response> {
        if let Some(cause) = &self.cause {
            console_error!("request {request_id} failed: {cause}");
        }
        let error =
            ErrorDetail { code: self.code, message: self.message, hint: self.hint.map(str::to_owned), request_id };
        let headers = Headers::new();
        headers.set("cache-control", "no-store")?;
        ResponseBuilder::new().with_status(self.code.status()).with_headers(headers).from_json(&ErrorBody { error })
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

/// A storage or runtime call that should not fail did.
impl From<worker::Error> for ApiError {
    fn from(error: worker::Error) -> Self {
        Self::internal("call the runtime", error)
    }
}

fn text(code: ErrorCode) -> (&'static str, Option<&'static str>) {
    match code {
        ErrorCode::SignInRequired => ("Sign in first.", Some("Open a link from `cargo xtask dev`.")),
        ErrorCode::LinkNotValid => {
            ("This link was used or has run out.", Some("Press Enter where `cargo xtask dev` runs for a new one."))
        }
        ErrorCode::NotAllowed => ("Your role does not allow this.", None),
        ErrorCode::HostNotAllowed => ("This host name is not the deployment's.", Some("Open the printed address.")),
        ErrorCode::OriginNotAllowed => ("This request came from another site.", None),
        ErrorCode::NotFound => ("There is no such thing.", None),
        ErrorCode::MethodNotAllowed => ("This path does not take that method.", None),
        ErrorCode::BadRequest => ("The request does not parse.", None),
        ErrorCode::BodyTooLarge => ("The request is too large.", None),
        ErrorCode::UpgradeRequired => ("This path wants a WebSocket with a known subprotocol.", None),
        ErrorCode::WrongState => ("The session's state does not allow this now.", Some("Wait until it has stopped.")),
        ErrorCode::LimitReached => ("A limit is reached.", Some("Delete what you no longer need.")),
        ErrorCode::StartFailed => ("The container did not start.", Some("Start it again.")),
        ErrorCode::AgentUnreachable => ("The container does not answer.", Some("Try again; stop it if it stays so.")),
        ErrorCode::BadFrame => ("A message does not decode.", None),
        ErrorCode::NoSuchTerminal => ("There is no such terminal.", None),
        ErrorCode::ReadOnly => ("Viewers do not type.", None),
        ErrorCode::Internal => {
            ("Something went wrong on our side.", Some("Try again; the request id finds it in the log."))
        }
        ErrorCode::NotConfigured => {
            ("This deployment has no sign-in configured.", Some("Run `cargo xtask dev`, or go through /setup."))
        }
    }
}
