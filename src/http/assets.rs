//! Files out of the binary: under their own names, and under names with their hash, which never
//! change and are kept by browsers for ever.

use actix_web::http::header::{self, EntityTag, Header as _, IfNoneMatch};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use super::ops::not_found;
use super::problem::Failure;

#[derive(rust_embed::RustEmbed)]
#[folder = "static/"]
pub(super) struct Assets;

/// The path of a file under its hashed name: `/static/admin.0123456789ab.css`.
pub fn link(name: &str) -> String {
    let Some(file) = Assets::get(name) else { return format!("/static/{name}") };
    let hash: String = file.metadata.sha256_hash().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("/static/{stem}.{hash}.{extension}"),
        None => format!("/static/{name}"),
    }
}

/// The file behind a hashed name, if the hash is its own.
fn unhashed(path: &str) -> Option<String> {
    let (rest, extension) = path.rsplit_once('.')?;
    let (stem, _) = rest.rsplit_once('.')?;
    let name = format!("{stem}.{extension}");
    (link(&name) == format!("/static/{path}")).then_some(name)
}

/// `GET /static/…`
pub async fn asset(path: Path<String>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let (name, caching) = match unhashed(&path) {
        Some(name) => (name, "public, max-age=31536000, immutable"),
        None => (path.into_inner(), "max-age=3600"),
    };
    if name.starts_with("sdk/") {
        return Err(not_found());
    }
    answer(&name, caching, &request)
}

/// A file, with how it may be kept.
pub(super) fn answer(name: &str, caching: &'static str, request: &HttpRequest) -> Result<HttpResponse, Failure> {
    let file = Assets::get(name).ok_or_else(not_found)?;
    let (mut response, is_known) = begin_answer(&file, request);
    response.insert_header((header::CACHE_CONTROL, caching));
    if is_known {
        return Ok(response.finish());
    }
    Ok(response.content_type(content_type(name)).body(file.data.into_owned()))
}

/// The head of an answer with a file's tag, and whether the browser has this very file already:
/// then the answer is finished without its body. The tag is a weak one because the body may be
/// compressed on its way.
pub(super) fn begin_answer(file: &rust_embed::EmbeddedFile, request: &HttpRequest) -> (HttpResponseBuilder, bool) {
    let tag = EntityTag::new_weak(file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect());
    let is_known = match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(&tag)),
        Err(_) => false,
    };
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header(header::ETag(tag)).insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    (response, is_known)
}

/// By the end of the name.
pub(super) fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jar" | "whl" | "gz" | "tgz" | "zip" | "nupkg" | "so" | "a" | "dll" | "dylib" | "lib") => "application/octet-stream",
        // Source and README: to be read in the browser.
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hashed_name_leads_to_its_file_and_to_no_other() {
        let path = link("admin.css");
        let name = path.strip_prefix("/static/").expect("there");
        assert_eq!(unhashed(name).as_deref(), Some("admin.css"));
        assert_eq!(unhashed("admin.000000000000.css"), None);
        assert_eq!(unhashed("admin.css"), None);
    }

    #[test]
    fn scripts_are_scripts_and_sources_are_to_be_read() {
        assert_eq!(content_type("javascript/tollkeeper.mjs"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("javascript/tollkeeper.d.ts"), "text/plain; charset=utf-8");
        assert_eq!(content_type("javascript/README.md"), "text/plain; charset=utf-8");
    }
}
