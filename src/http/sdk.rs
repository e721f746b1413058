//! The client libraries, out of the binary: an air-gapped developer gets them from the license
//! server itself. They are public, so any page may load them.

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::assets::{Assets, begin_answer, content_type};
use super::ops::{broken, not_found, page};
use super::problem::Failure;

/// Libraries that are there: folder below `static/sdk/`, name, how to get it running.
const LANGUAGES: &[(&str, &str, &str)] = &[
    ("c", "C", "every language that can call C: header, example, how to build the library"),
    ("javascript", "JavaScript", "browsers and Node: a script tag, ES modules, TypeScript types, a live example"),
];

#[derive(Template)]
#[template(path = "sdk.html")]
struct FolderPage {
    title: &'static str,
    entries: Vec<Entry>,
    readme: String,
}

struct Entry {
    href: String,
    name: String,
    note: String,
}

/// A library, for pages that lead to it.
pub struct Library {
    /// Its folder below `/sdk/`.
    pub folder: &'static str,
    /// Its language.
    pub name: &'static str,
    /// What it is for.
    pub note: &'static str,
}

/// The libraries there are.
pub fn libraries() -> Vec<Library> {
    LANGUAGES.iter().map(|(folder, name, note)| Library { folder, name, note }).collect()
}

/// `GET /sdk/`: the languages there are.
pub async fn languages() -> Result<HttpResponse, Failure> {
    let entry = |(folder, name, note): &(&str, &str, &str)| Entry { href: format!("/sdk/{folder}/"), name: (*name).to_owned(), note: (*note).to_owned() };
    page(&FolderPage { title: "Client libraries", entries: LANGUAGES.iter().map(entry).collect(), readme: String::new() })
}

/// `GET /sdk/…`: a file, or what is in a language's folder.
pub async fn file(path: Path<String>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    if let Some((folder, name, _)) = LANGUAGES.iter().find(|(folder, ..)| path.trim_end_matches('/') == *folder) {
        // Without the slash the page's links would lead elsewhere.
        return if path.ends_with('/') { folder_page(folder, name) } else { Ok(moved(&format!("/sdk/{folder}/"))) };
    }
    if let Some((folder, ..)) = LANGUAGES.iter().find(|(folder, ..)| *path == archive_path(folder)) {
        let mut response = HttpResponse::Ok();
        response.insert_header((header::CACHE_CONTROL, "no-cache")).insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
        let archive = archive(folder).map_err(|error| broken("an archive", &error))?;
        return Ok(response.content_type("application/x-tar").body(archive));
    }
    let Some(file) = Assets::get(&format!("sdk/{path}")) else { return Err(not_found()) };
    let (mut response, is_known) = begin_answer(&file, &request);
    response.insert_header((header::CACHE_CONTROL, "no-cache")).insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
    if is_known {
        return Ok(response.finish());
    }
    let kind = content_type(&path);
    if kind.starts_with("text/html") {
        // The examples ask whichever license server is typed in, and load nothing from elsewhere.
        response.insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'self'; connect-src 'self' https: http:"));
    }
    Ok(response.content_type(HeaderValue::from_static(kind)).body(file.data.into_owned()))
}

/// The files of a language, by their paths among the assets.
fn files_of(folder: &str) -> Vec<String> {
    let mut paths: Vec<String> = Assets::iter().filter(|path| path.starts_with(&format!("sdk/{folder}/"))).map(Into::into).collect();
    paths.sort();
    paths
}

fn archive_path(folder: &str) -> String {
    format!("{folder}/tollkeeper-{folder}.tar")
}

/// A language's files in one, to be taken away; `npm install` takes it as it is. The same
/// bytes each time.
fn archive(folder: &str) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for path in files_of(folder) {
        let Some(file) = Assets::get(&path) else { continue };
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(file.data.len() as u64);
        tar.append_data(&mut header, format!("tollkeeper-{}", path.trim_start_matches("sdk/")), &*file.data)?;
    }
    tar.into_inner()
}

fn folder_page(folder: &str, name: &'static str) -> Result<HttpResponse, Failure> {
    let prefix = format!("sdk/{folder}/");
    let all =
        Entry { href: format!("/sdk/{}", archive_path(folder)), name: format!("tollkeeper-{folder}.tar"), note: "all of it, to be taken away".to_owned() };
    let file = |path: String| {
        let bytes = Assets::get(&path).map_or(0, |file| file.data.len());
        Entry { href: format!("/{path}"), name: path.trim_start_matches(&prefix).to_owned(), note: format!("{bytes} bytes") }
    };
    let entries = std::iter::once(all).chain(files_of(folder).into_iter().map(file)).collect();
    let readme = Assets::get(&format!("{prefix}README.md")).map(|file| String::from_utf8_lossy(&file.data).into_owned());
    page(&FolderPage { title: name, entries, readme: readme.unwrap_or_default() })
}

fn moved(to: &str) -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, to)).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_library_has_its_readme_and_every_folder_is_listed() {
        for (folder, ..) in LANGUAGES {
            assert!(Assets::get(&format!("sdk/{folder}/README.md")).is_some(), "{folder}");
        }
        for path in Assets::iter().filter(|path| path.starts_with("sdk/")) {
            assert!(LANGUAGES.iter().any(|(folder, ..)| path.starts_with(&format!("sdk/{folder}/"))), "{path} is in no listed language");
        }
    }
}
