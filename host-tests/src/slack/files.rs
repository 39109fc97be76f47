//! Files go up in three steps and are read with the token. Answers to commands come by addresses of their own.

use bytes::Bytes;
use serde_json::{Value, json};

use super::state::{No, State, arg};

/// A file, in whichever step it is.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// The workspace that it is in.
    team: String,
    name: String,
    media_type: String,
    length: usize,
    /// Its bytes, once they are there.
    bytes: Option<Bytes>,
    /// Where it was shared.
    channel: Option<(String, String)>,
    deleted: bool,
}

impl State {
    pub(super) fn keep(&mut self, team: &str, (name, media_type): (&str, &str), bytes: Bytes) -> Value {
        self.count += 1;
        let id = format!("F0KEPT{}", self.count);
        let url = format!("{}/files/{id}/download", self.origin);
        let shown = json!({"id": id, "name": name, "mimetype": media_type, "size": bytes.len(), "mode": "hosted",
            "url_private": url, "url_private_download": url});
        let (name, media_type, length) = (name.to_owned(), media_type.to_owned(), bytes.len());
        let team = team.to_owned();
        let file = File { team, name, media_type, length, bytes: Some(bytes), channel: None, deleted: false };
        self.files.insert(id, file);
        shown
    }

    pub(super) fn delete(&mut self, id: &str) {
        self.files.get_mut(id).into_iter().for_each(|file| file.deleted = true);
    }

    pub(super) fn upload_url(&mut self, args: &Value) -> Result<Value, No> {
        let length = arg(args, "length").and_then(|length| length.parse().ok()).filter(|length| *length > 0);
        let (Some(name), Some(length)) = (arg(args, "filename"), length) else {
            return Err(No::Word("invalid_arguments"));
        };
        self.count += 1;
        let id = format!("F0UP{}", self.count);
        let (team, name) = (self.team.clone(), name.to_owned());
        let media_type = String::new();
        let file = File { team, name, media_type, length, bytes: None, channel: None, deleted: false };
        self.files.insert(id.clone(), file);
        Ok(json!({"upload_url": format!("{}/upload/v1/{id}", self.origin), "file_id": id}))
    }

    pub(super) fn complete_upload(&mut self, args: &Value) -> Result<Value, No> {
        // In a form the list is JSON within a text.
        let listed = args["files"]
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_else(|| args["files"].clone());
        let Some(id) = listed.pointer("/0/id").and_then(Value::as_str).map(str::to_owned) else {
            return Err(No::Word("invalid_arguments"));
        };
        let channel = arg(args, "channel_id").or_else(|| arg(args, "channels")).unwrap_or_default().to_owned();
        self.may_post(&channel, args)?;
        match self.files.get(&id).filter(|file| file.team == self.team) {
            Some(File { bytes: Some(_), channel: None, .. }) => {}
            Some(File { bytes: None, .. }) => {
                self.violate(format!("{id} was shared before its bytes were there"));
                return Err(No::Word("file_not_found"));
            }
            _ => return Err(No::Word("file_not_found")),
        }
        let name = self.files.get(&id).map(|file| file.name.clone()).unwrap_or_default();
        let mut said = json!({"files": [name], "text": ""});
        said["thread_ts"] = args["thread_ts"].clone();
        let ts = self.say(&channel, said);
        if let Some(file) = self.files.get_mut(&id) {
            file.channel = Some((channel, ts));
        }
        Ok(json!({"files": [{"id": id}]}))
    }

    pub(super) fn file_info(&mut self, args: &Value) -> Result<Value, No> {
        let id = arg(args, "file").unwrap_or_default();
        let found = self.files.get(id).filter(|file| file.team == self.team);
        let Some(file) = found else { return Err(No::Word("file_not_found")) };
        let url = format!("{}/files/{id}/download", self.origin);
        match &file.channel {
            _ if file.deleted => Err(No::Word("file_deleted")),
            Some((channel, ts)) => Ok(json!({"file": {"id": id, "shares": {"public": {channel: [{"ts": ts}]}}}})),
            None if id.starts_with("F0KEPT") => Ok(json!({"file": {"id": id, "url_private_download": url}})),
            // What was never shared is nobody's.
            None => Err(No::Word("file_not_found")),
        }
    }

    /// What is no method: bytes that come, files that are read, answers to commands.
    pub(super) fn other(&mut self, path: &str, token: Option<&str>, body: Bytes) -> (u16, String, Bytes) {
        let text = |status: u16, text: &str| (status, "text/plain".to_owned(), Bytes::copy_from_slice(text.as_bytes()));
        let team = token.and_then(|token| self.tokens.get(token)).filter(|team| !self.revoked.contains(*team));
        if let Some(id) = path.strip_prefix("/files/").and_then(|rest| rest.strip_suffix("/download")) {
            return match self.files.get(id).filter(|file| !file.deleted) {
                None => text(404, "gone"),
                // Slack shows whoever may not read a file a page to log in at.
                Some(file) if team != Some(&file.team) => {
                    (200, "text/html; charset=utf-8".to_owned(), "<html>log in</html>".into())
                }
                Some(file) => (200, file.media_type.clone(), file.bytes.clone().unwrap_or_default()),
            };
        }
        if token.is_some() {
            self.violate(format!("the token was shown to {path}"));
        }
        if let Some(id) = path.strip_prefix("/upload/v1/") {
            return match self.files.get_mut(id) {
                Some(file) if file.length == body.len() => {
                    file.bytes = Some(body);
                    text(200, "OK")
                }
                Some(_) => text(400, "wrong length"),
                None => text(404, "gone"),
            };
        }
        match self.hooks.get_mut(path) {
            Some(0) | None => text(404, "used_url"),
            Some(left) => {
                *left -= 1;
                self.whispers.push(serde_json::from_slice(&body).unwrap_or_default());
                text(200, "ok")
            }
        }
    }
}
