//! A platform that answers what a test says.

use std::{cell::RefCell, collections::VecDeque};

use super::{Client, Error, Request, Response};

/// Answers in order and remembers what it was asked. Not part of a component.
#[derive(Debug)]
pub struct Script {
    answers: RefCell<VecDeque<Result<Response, Error>>>,
    requests: RefCell<Vec<Request>>,
}

impl Script {
    /// A platform that gives these answers, one for each request.
    pub fn new(answers: impl IntoIterator<Item = Result<Response, Error>>) -> Self {
        Self { answers: RefCell::new(answers.into_iter().collect()), requests: RefCell::default() }
    }

    /// What was asked so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.borrow().clone()
    }

    /// How many answers nobody asked for yet.
    pub fn left(&self) -> usize {
        self.answers.borrow().len()
    }
}

impl Client for Script {
    /// # Panics
    ///
    /// When there is no answer left.
    fn send(&self, request: Request) -> Result<Response, Error> {
        let answer = self.answers.borrow_mut().pop_front();
        let (method, url) = (request.method.clone(), request.url.clone());
        self.requests.borrow_mut().push(request);
        match answer {
            Some(answer) => answer,
            None => panic!("the script has no answer left for {method} {url}"),
        }
    }
}
