//! Who may come in to the pages. Whoever is not logged in is led to the login, and at the first
//! visit to the set-up.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage as _};

use super::chrome::{PageFailure, failure_page, send_on};
use crate::http::Context;
use crate::http::caller::{check_standby, find_user};
use crate::store::accounts;

/// Lets in who is logged in.
pub async fn let_in(
    context: Data<Context>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if let Some(caller) = find_user(&context, request.request(), true).await.map_err(PageFailure::from)? {
        if request.method() != Method::GET
            && let Err(failure) = check_standby(&context, request.path())
        {
            let page = failure_page(&context, request.request(), &caller, &failure).await?;
            return Ok(request.into_response(page).map_into_boxed_body());
        }
        request.extensions_mut().insert(caller);
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let users = context.read(|reader| accounts::list_users(reader)).await.map_err(PageFailure::from)?;
    let to = if users.is_empty() {
        "/admin/setup".to_owned()
    } else if request.method() == Method::GET {
        let wanted = request.uri().path_and_query().map_or("/admin/", |path| path.as_str());
        format!("/admin/login?{}", serde_urlencoded::to_string([("next", wanted)]).unwrap_or_default())
    } else {
        "/admin/login".to_owned()
    };
    Ok(request.into_response(send_on(&to, None)).map_into_boxed_body())
}
