//! Backups: which there are, a new one, one of them checked, taken away, or put in the place of the
//! database. What takes long goes on by itself and is told by `GET /backups`.

use actix_web::http::StatusCode;
use actix_web::http::header::{ContentDisposition, ContentEncoding, DispositionParam, DispositionType};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::commands::backup::{BUSY, Copy, Reason};
use crate::commands::preferences::Remember;
use crate::commands::restore;
use crate::http::Context;
use crate::http::body::read_json;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::protocol::{ErrorCode, Problem};
use crate::store::Error;
use crate::store::audit::AdminActed;

/// A backup.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BackupRow {
    /// The name of its file.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was made.
    pub made_at: String,
    /// Why: `scheduled`, `manual`, `before-upgrade`, or `replaced` by a restore.
    pub reason: String,
}

/// Work that goes on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkRow {
    /// The backup that is to take the place of the database; null: one is made.
    pub restores: Option<String>,
    /// `copying` or `checking`.
    pub step: String,
    /// How far it is: pages that were copied, or facts that were checked.
    pub done: u64,
    /// Of how much; 0 where that is not known.
    pub all: u64,
}

/// How the last piece of work ended.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ResultRow {
    /// When it began.
    pub at: String,
    /// The backup it was about, if it went well.
    pub name: Option<String>,
    /// What went wrong, and what to do.
    pub error: Option<String>,
}

/// The backups there are.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BackupsAnswer {
    /// Where they are.
    pub directory: String,
    /// Minutes from one to the next; 0: none is made by itself.
    pub every_minutes: u32,
    /// How many of the latest ones are kept.
    pub keep_latest: usize,
    /// Of how many hours the last one is kept.
    pub keep_hours: usize,
    /// Of how many days the last one is kept.
    pub keep_days: usize,
    /// How many of those are kept that were made before an upgrade, and of those that a restore replaced.
    pub keep_others: usize,
    /// What goes on now.
    pub running: Option<WorkRow>,
    /// How the last one went.
    pub last: Option<ResultRow>,
    /// The files, newest first.
    pub files: Vec<BackupRow>,
}

/// How a backup is to be made.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct BackupBody {
    /// Also writes `secret.key` beside the backup, under this passphrase: with it the backup can be
    /// restored on another machine.
    #[serde(default)]
    pub passphrase: Option<String>,
}

/// How a backup is to be restored.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RestoreBody {
    /// The passphrase of the `.key` file beside the backup; else this server's own `secret.key` is used.
    #[serde(default)]
    pub passphrase: Option<String>,
}

/// What a backup holds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ContentsRow {
    /// The name of its file.
    pub name: String,
    /// How many facts.
    pub facts: u64,
    /// The last fact of each server.
    pub heads: std::collections::BTreeMap<String, u64>,
}

fn row(copy: Copy) -> BackupRow {
    BackupRow { name: copy.name, bytes: copy.bytes, made_at: rfc3339(copy.made_at), reason: copy.reason.name().to_owned() }
}

/// The shortest passphrase.
pub const PASSPHRASE_MIN: usize = 8;

/// All of them, newest first.
pub async fn copies(context: &Data<Context>) -> Result<Vec<Copy>, Failure> {
    let backups = context.backups.clone();
    Ok(actix_web::web::block(move || backups.list()).await.map_err(|_| Error::Stopped)??)
}

/// The newest one that was made of the database in use.
pub async fn latest(context: &Data<Context>) -> Result<Option<Copy>, Failure> {
    Ok(copies(context).await?.into_iter().find(|copy| copy.reason != Reason::Replaced))
}

/// The backups there are.
pub async fn find(context: &Data<Context>) -> Result<BackupsAnswer, Failure> {
    let files = copies(context).await?;
    let (standing, policy) = (context.backups.standing(), context.backups.policy());
    let directory = context.backups.directory();
    Ok(BackupsAnswer {
        directory: std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned()).display().to_string(),
        every_minutes: policy.every_minutes,
        keep_latest: policy.latest,
        keep_hours: policy.hourly,
        keep_days: policy.daily,
        keep_others: policy.others,
        running: standing.running.map(|work| WorkRow { restores: work.restores, step: work.step.to_owned(), done: work.done, all: work.all }),
        last: standing.last.map(|(at, result)| {
            let (name, error) = match result {
                Ok(name) => (Some(name), None),
                Err(error) => (None, Some(error)),
            };
            ResultRow { at: rfc3339(at), name, error }
        }),
        files: files.into_iter().map(row).collect(),
    })
}

/// Begins to make one.
pub async fn begin(context: &Data<Context>, caller: &Caller, body: BackupBody) -> Result<(), Failure> {
    if body.passphrase.as_ref().is_some_and(|passphrase| passphrase.chars().count() < PASSPHRASE_MIN) {
        return Err(Failure::malformed(
            "passphrase",
            format!("is too short: give at least {PASSPHRASE_MIN} characters, and keep them where the backup is not"),
        ));
    }
    let work = context.backups.begin(None).ok_or_else(busy)?;
    remember(context, caller, "backup_made", "the database", "").await?;
    let (backups, data) = (context.backups.clone(), context.data.clone());
    let work = move || {
        let made = backups.make_with(&work, Reason::Admin, |path| match body.passphrase {
            Some(passphrase) => restore::seal_secret(&data, path, &passphrase).map(drop),
            None => Ok(()),
        });
        if let Err(error) = made {
            tracing::error!(%error, "a backup failed");
        }
    };
    spawn("backup by hand", work)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|error| Failure::new(ErrorCode::NotServing, format!("a thread cannot be started: {error}")))
}

fn act(caller: &Caller, action: &str, subject: &str, detail: &str) -> Remember {
    Remember(AdminActed {
        by: caller.name.clone(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail: detail.to_owned(),
        address: caller.address.clone(),
    })
}

async fn remember(context: &Data<Context>, caller: &Caller, action: &str, subject: &str, detail: &str) -> Result<(), Failure> {
    Ok(context.writer().submit(act(caller, action, subject, detail)).await?)
}

fn busy() -> Failure {
    conflict(BUSY.to_owned())
}

fn conflict(detail: String) -> Failure {
    Failure::new(ErrorCode::Malformed, detail).with_status(StatusCode::CONFLICT)
}

fn path_of(context: &Context, name: &str) -> Result<std::path::PathBuf, Failure> {
    let missing =
        || Failure::new(ErrorCode::Malformed, format!("there is no backup '{name}': the list of backups names them")).with_status(StatusCode::NOT_FOUND);
    context.backups.find(name).ok_or_else(missing)
}

/// Looks at everything in a backup.
pub async fn check(context: &Data<Context>, name: &str) -> Result<ContentsRow, Failure> {
    let (path, backups) = (path_of(context, name)?, context.backups.clone());
    let contents = actix_web::web::block(move || backups.verify(&path)).await.map_err(|_| Error::Stopped)?;
    let contents = contents.map_err(|error| conflict(format!("the backup {name} cannot be used: {error}")))?;
    let heads = contents.heads.into_iter().map(|(origin, head)| (origin.to_string(), head.sequence)).collect();
    Ok(ContentsRow { name: name.to_owned(), facts: contents.facts, heads })
}

/// Lays a backup ready and has the server begin anew with it. The work is begun; it blocks for long.
fn restoring(context: &Data<Context>, caller: &Caller, name: &str, body: RestoreBody) -> Result<impl FnOnce() -> Result<(), Error> + Send + 'static, Failure> {
    let path = path_of(context, name)?;
    let work = context.backups.begin(Some(name.to_owned())).ok_or_else(busy)?;
    // It goes with the old database; the new one tells of the restore itself.
    let act = act(caller, "backup_restored", name, "the server begins anew with it");
    let (context, by) = (context.clone(), caller.name.clone());
    Ok(move || {
        let staged = restore::stage(&context.data, &path, body.passphrase.as_deref(), &by, |step, done, all| work.tell(step, done, all));
        staged.map(drop).and_then(|()| context.writer().submit_blocking(act)).inspect_err(|error| work.fail_to_restore(&error.to_string()))?;
        context.restart.ask();
        Ok(())
    })
}

/// Puts a backup back; the answer comes when it was checked and lies ready.
pub async fn put_back(context: &Data<Context>, caller: &Caller, name: &str, body: RestoreBody) -> Result<(), Failure> {
    let work = restoring(context, caller, name, body)?;
    let done = actix_web::web::block(work).await.map_err(|_| Error::Stopped)?;
    done.map_err(|error| conflict(format!("the backup {name} cannot be restored: {error}")))
}

/// The same, and nobody waits for it.
pub async fn begin_putting_back(context: &Data<Context>, caller: &Caller, name: &str, body: RestoreBody) -> Result<(), Failure> {
    let work = restoring(context, caller, name, body)?;
    let name = name.to_owned();
    spawn("restore", move || {
        if let Err(error) = work() {
            tracing::error!(%error, name, "a backup cannot be restored");
        }
    })
}

/// `GET /backups`
#[utoipa::path(get, path = "/api/v1/admin/backups", tag = "servers", security(("bearer" = [])), responses(
    (status = 200, description = "The backups there are", body = BackupsAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(find(&context).await?))
}

/// `POST /backups`
#[utoipa::path(post, path = "/api/v1/admin/backups", tag = "servers", security(("bearer" = [])), request_body = BackupBody, responses(
    (status = 202, description = "It is being made; `GET /backups` tells how far it is"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn make(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body = read_json(&context, &request, payload).await?;
    begin(&context, &caller, body).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// `GET /backups/{name}/file`
#[utoipa::path(get, path = "/api/v1/admin/backups/{name}/file", tag = "servers", security(("bearer" = [])), params(("name" = String, Path, description = "Its name")), responses(
    (status = 200, description = "The file: an SQLite database", content_type = "application/vnd.sqlite3"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn file(caller: Caller, context: Data<Context>, name: Path<String>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    if !caller.may_change() {
        let detail = "a backup holds everything, and is for administrators: ask one, or use a token with the scope 'write'";
        return Err(Failure::new(ErrorCode::NotAuthorized, detail).with_status(StatusCode::FORBIDDEN));
    }
    let path = path_of(&context, &name)?;
    remember(&context, &caller, "backup_downloaded", &name, "").await?;
    let file = actix_files::NamedFile::open_async(path).await.map_err(|error| Error::Io(error.to_string()))?;
    let parameters = vec![DispositionParam::Filename(name.into_inner())];
    let shown = ContentDisposition { disposition: DispositionType::Attachment, parameters };
    // A part of it can be asked for again, so it goes out as it is.
    Ok(file.set_content_disposition(shown).set_content_encoding(ContentEncoding::Identity).into_response(&request))
}

/// `POST /backups/{name}/verify`
#[utoipa::path(post, path = "/api/v1/admin/backups/{name}/verify", tag = "servers", security(("bearer" = [])), params(("name" = String, Path, description = "Its name")), responses(
    (status = 200, description = "Every page and every fact of it is in order", body = ContentsRow),
    (status = "4XX", description = "It is not; `detail` says what is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub async fn verify(context: Data<Context>, name: Path<String>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(check(&context, &name).await?))
}

/// `POST /backups/{name}/restore`
#[utoipa::path(post, path = "/api/v1/admin/backups/{name}/restore", tag = "servers", security(("bearer" = [])), params(("name" = String, Path, description = "Its name")), request_body = RestoreBody, responses(
    (status = 202, description = "It was checked; the server begins anew with it"),
    (status = "4XX", description = "Refused, nothing was changed; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn restore_one(caller: Caller, context: Data<Context>, name: Path<String>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body = read_json(&context, &request, payload).await?;
    put_back(&context, &caller, &name, body).await?;
    Ok(HttpResponse::Accepted().finish())
}
