//! The rest of `just demo`: each platform's connector on a daemon of its own, against a double of the platform that is as
//! strict as the platform. A step that does not do what it should ends it with another exit code than 0.

mod slack;
mod telegram;

#[tokio::main]
async fn main() {
    slack::tell().await;
    telegram::tell().await;
}
