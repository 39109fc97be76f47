//! The few fields of GitHub's payloads that matter here. GitHub sends many more, so unknown ones are fine.

use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Payload {
    pub(crate) action: Option<String>,
    pub(crate) sender: User,
    repository: Option<Repository>,
    issue: Option<Subject>,
    pull_request: Option<Subject>,
    comment: Option<Comment>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    head_commit: Option<Commit>,
}

#[derive(Deserialize)]
pub(crate) struct User {
    pub(crate) login: String,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

#[derive(Deserialize)]
struct Subject {
    number: u64,
    title: String,
    html_url: String,
    body: Option<String>,
}

#[derive(Deserialize)]
struct Comment {
    html_url: String,
    body: Option<String>,
}

#[derive(Deserialize)]
struct Commit {
    message: String,
    url: String,
}

impl Payload {
    /// The conversation: repository, then issue or branch where there is one.
    pub(crate) fn thread(&self) -> Vec<String> {
        let repository = self.repository.as_ref().map_or("no repository", |repository| &repository.full_name);
        let subject = self.subject().map(|subject| format!("#{}", subject.number));
        [Some(repository.to_owned()), subject.or_else(|| self.reference.clone())].into_iter().flatten().collect()
    }

    /// What happened, in words.
    pub(crate) fn text(&self, kind: &str) -> String {
        let mut line = format!("{} by {} in {}", kind.replace('_', " "), self.sender.login, self.thread().join(" "));
        if let Some(action) = &self.action {
            line.push_str(&format!(": {action}"));
        }
        let title = self.subject().map(|subject| subject.title.as_str());
        let comment = self.comment.as_ref().map(|comment| comment.body.as_deref());
        let words = comment.or_else(|| self.subject().map(|subject| subject.body.as_deref())).flatten();
        let commit = self.head_commit.as_ref().map(|commit| commit.message.as_str());
        [Some(line.as_str()), title, words, commit].into_iter().flatten().collect::<Vec<_>>().join("\n\n")
    }

    /// Where a person would look.
    pub(crate) fn url(&self) -> Option<&str> {
        let comment = self.comment.as_ref().map(|comment| comment.html_url.as_str());
        let subject = self.subject().map(|subject| subject.html_url.as_str());
        comment.or(subject).or(self.head_commit.as_ref().map(|commit| commit.url.as_str()))
    }

    fn subject(&self) -> Option<&Subject> {
        self.issue.as_ref().or(self.pull_request.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issue_is_a_conversation() {
        let body = r#"{"action": "opened", "sender": {"login": "ada"}, "repository": {"full_name": "acme/shop"},
            "issue": {"number": 7, "title": "Broken", "html_url": "https://example.org/7", "body": "It is."}}"#;
        let payload: Payload = serde_json::from_str(body).unwrap();
        assert_eq!(payload.thread(), ["acme/shop", "#7"]);
        assert_eq!(payload.text("issues"), "issues by ada in acme/shop #7: opened\n\nBroken\n\nIt is.");
        assert_eq!(payload.url(), Some("https://example.org/7"));
    }
}
