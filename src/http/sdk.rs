//! The client libraries: an air-gapped developer gets them from the license server itself. Their
//! source comes out of the binary; what is built of it, such as a wheel, out of the folder that the
//! setting `sdk_packages` names, if it is there. They are public, so any page may load them.

use std::path::Path as FilePath;

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::Context;
use super::assets::{Assets, begin_answer, content_type};
use super::ops::{broken, not_found, page};
use super::problem::Failure;

/// Libraries that are there: folder below `static/sdk/`, name, how to get it running.
const LANGUAGES: &[(&str, &str, &str)] = &[
    ("c", "C", "every language that can call C: header, example, how to build the library"),
    ("cpp", "C++", "C++17: one header over the C library"),
    ("csharp", "C#", ".NET, .NET Framework and Mono: an assembly over the C library, with events and async"),
    ("java", "Java", "Java 8 and newer, and Android: no native code"),
    ("javascript", "JavaScript", "browsers and Node: a script tag, ES modules, TypeScript types, a live example"),
    ("objective-c", "Objective-C and Swift", "iOS and macOS: classes over the C library, with a verification delegate"),
    ("python", "Python", "Python 3.9 and newer, with type hints and asyncio"),
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
    present().map(|(folder, name, note)| Library { folder, name, note }).collect()
}

/// Those whose folder is in this binary.
fn present() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    LANGUAGES.iter().filter(|(folder, ..)| Assets::get(&format!("sdk/{folder}/README.md")).is_some())
}

/// `GET /sdk/`: the languages there are.
pub async fn languages() -> Result<HttpResponse, Failure> {
    let entry = |(folder, name, note): &(&str, &str, &str)| Entry { href: format!("/sdk/{folder}/"), name: (*name).to_owned(), note: (*note).to_owned() };
    page(&FolderPage { title: "Client libraries", entries: present().map(entry).collect(), readme: String::new() })
}

/// `GET /sdk/…`: a file, or what is in a language's folder.
pub async fn file(path: Path<String>, request: HttpRequest, context: Data<Context>) -> Result<HttpResponse, Failure> {
    if let Some((folder, name, _)) = present().find(|(folder, ..)| path.trim_end_matches('/') == *folder) {
        // Without the slash the page's links would lead elsewhere.
        return if path.ends_with('/') { folder_page(folder, name, &context.sdk_packages) } else { Ok(moved(&format!("/sdk/{folder}/"))) };
    }
    if let Some((folder, ..)) = present().find(|(folder, ..)| *path == archive_path(folder)) {
        let mut response = HttpResponse::Ok();
        response.insert_header((header::CACHE_CONTROL, "no-cache")).insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
        let archive = archive(folder).map_err(|error| broken("an archive", &error))?;
        return Ok(response.content_type("application/x-tar").body(archive));
    }
    let Some(file) = Assets::get(&format!("sdk/{path}")) else { return package(&path, &context.sdk_packages).await };
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

/// A built package: its name, and how many bytes it has.
type Package = (String, u64);

/// The built packages of a language.
fn packages_of(language: &str, packages: &FilePath) -> Vec<Package> {
    let Ok(entries) = std::fs::read_dir(packages.join(language)) else { return Vec::new() };
    let package = |entry: std::fs::DirEntry| {
        let data = std::fs::metadata(entry.path()).ok().filter(std::fs::Metadata::is_file)?;
        Some((entry.file_name().into_string().ok()?, data.len()))
    };
    let mut found: Vec<Package> = entries.flatten().filter_map(package).filter(|(name, _)| !name.starts_with('.')).collect();
    found.sort();
    found
}

/// A built package, for those that are in no binary. Only what the page lists is there.
async fn package(path: &str, packages: &FilePath) -> Result<HttpResponse, Failure> {
    let Some((language, name)) = path.split_once('/').filter(|(language, _)| present().any(|(folder, ..)| folder == language)) else {
        return Err(not_found());
    };
    let (language, name, packages, kind) = (language.to_owned(), name.to_owned(), packages.to_owned(), content_type(name));
    let read = move || {
        let is_there = packages_of(&language, &packages).iter().any(|(known, _)| *known == name);
        is_there.then(|| std::fs::read(packages.join(&language).join(&name)))
    };
    match web::block(read).await.map_err(|error| broken("a package", &error))? {
        Some(Ok(bytes)) => {
            let mut response = HttpResponse::Ok();
            response.insert_header((header::CACHE_CONTROL, "no-cache")).insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
            response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
            Ok(response.content_type(kind).body(bytes))
        }
        Some(Err(error)) => Err(broken("a package", &error)),
        None => Err(not_found()),
    }
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

fn folder_page(folder: &str, name: &'static str, packages: &FilePath) -> Result<HttpResponse, Failure> {
    let prefix = format!("sdk/{folder}/");
    let all =
        Entry { href: format!("/sdk/{}", archive_path(folder)), name: format!("tollkeeper-{folder}.tar"), note: "all of it, to be taken away".to_owned() };
    let file = |path: String| {
        let bytes = Assets::get(&path).map_or(0, |file| file.data.len());
        Entry { href: format!("/{path}"), name: path.trim_start_matches(&prefix).to_owned(), note: format!("{bytes} bytes") }
    };
    let package = |(name, bytes): Package| Entry { href: format!("/sdk/{folder}/{name}"), note: format!("{bytes} bytes, built for use as it is"), name };
    let built = packages_of(folder, packages).into_iter().map(package);
    let entries = built.chain(std::iter::once(all)).chain(files_of(folder).into_iter().map(file)).collect();
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
    fn every_folder_is_listed_and_has_its_readme() {
        for path in Assets::iter().filter(|path| path.starts_with("sdk/")) {
            assert!(present().any(|(folder, ..)| path.starts_with(&format!("sdk/{folder}/"))), "{path} is in no listed language with a README.md");
        }
    }

    #[test]
    fn packages_are_the_plain_files_of_their_language() {
        let home = tempfile::tempdir().expect("done");
        let folder = home.path().join("python");
        std::fs::create_dir_all(folder.join("deeper.whl")).expect("done");
        for name in ["b.whl", "a.whl", ".hidden"] {
            std::fs::write(folder.join(name), "abc").expect("done");
        }
        assert_eq!(packages_of("python", home.path()), [("a.whl".to_owned(), 3), ("b.whl".to_owned(), 3)]);
        assert_eq!(packages_of("java", home.path()), []);
    }
}
