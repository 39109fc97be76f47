//! Albums: Telegram sends each picture as an update of its own. They are held until no more of them come, and are one event.

use kheish_guest::Event;

use crate::{
    event::{self, Skip},
    settings::Settings,
    update::{Message, Update, UpdateId},
};

/// The most pictures of one album.
const PICTURES: usize = 10;

/// What makes events of updates.
pub(super) struct Albums<'s> {
    /// The connector's name.
    pub(super) name: &'s str,
    /// Its settings.
    pub(super) settings: &'s Settings,
}

/// What became of updates.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// In order.
    pub(super) events: Vec<Event>,
    /// Pictures of albums that may not be complete.
    pub(super) held: Vec<Update>,
    /// Buttons that were pressed.
    pub(super) pressed: Vec<String>,
    /// What became no event.
    pub(super) skipped: Vec<(UpdateId, Skip)>,
}

/// Which album a message belongs to.
#[derive(PartialEq)]
struct Group<'m> {
    chat: i64,
    id: &'m str,
}

impl Albums<'_> {
    /// Sorts what was held and what is new. An album is complete when nothing new belongs to it, when it has as many pictures as
    /// one can have, or when its sender has said something else.
    pub(super) fn sort(&self, held: Vec<Update>, new: Vec<Update>) -> Sorted {
        let mut sorted = Sorted::default();
        let mut open = collect(held);
        let growing: Vec<bool> = open.iter().map(|album| new.iter().any(|update| same(album, update))).collect();
        let mut kept = Vec::new();
        for (album, growing) in open.drain(..).zip(growing) {
            if growing { kept.push(album) } else { self.close(album, &mut sorted) }
        }
        for update in new {
            self.add(update, &mut kept, &mut sorted);
        }
        sorted.held = kept.into_iter().flatten().collect();
        sorted
    }

    fn add(&self, update: Update, open: &mut Vec<Vec<Update>>, sorted: &mut Sorted) {
        let own = open.iter().position(|album| same(album, &update));
        if let Some(said) = update.fresh_message() {
            let interrupted = |album: &Vec<Update>| {
                !same(album, &update) && album.first().is_some_and(|first| continues(first, said))
            };
            let (over, rest): (Vec<_>, Vec<_>) = std::mem::take(open).into_iter().partition(interrupted);
            over.into_iter().for_each(|album| self.close(album, sorted));
            *open = rest;
        }
        let own = own.and_then(|_| open.iter().position(|album| same(album, &update)));
        match own {
            // It was held, and Telegram has not been told.
            Some(place) if open[place].iter().any(|held| held.update_id == update.update_id) => {}
            Some(place) => {
                open[place].push(update);
                if open[place].len() >= PICTURES {
                    let album = open.remove(place);
                    self.close(album, sorted);
                }
            }
            None if group(&update).is_some() => open.push(vec![update]),
            None => self.single(&update, sorted),
        }
    }

    fn single(&self, update: &Update, sorted: &mut Sorted) {
        match event::of(self.name, self.settings, update) {
            Ok(event) => {
                sorted.events.push(event);
                sorted.pressed.extend(update.callback_query.as_ref().map(|query| query.id.clone()));
            }
            Err(reason) => sorted.skipped.push((update.update_id.clone(), reason)),
        }
    }

    fn close(&self, album: Vec<Update>, sorted: &mut Sorted) {
        match event::of_album(self.name, self.settings, &album) {
            Ok(event) => sorted.events.push(event),
            Err(reason) => sorted.skipped.extend(album.into_iter().map(|update| (update.update_id, reason))),
        }
    }
}

/// Updates that were held, album by album, in the order in which the albums began.
fn collect(held: Vec<Update>) -> Vec<Vec<Update>> {
    let mut albums: Vec<Vec<Update>> = Vec::new();
    for update in held {
        match albums.iter_mut().find(|album| same(album, &update)) {
            Some(album) => album.push(update),
            None => albums.push(vec![update]),
        }
    }
    albums
}

fn group(update: &Update) -> Option<Group<'_>> {
    let message = update.fresh_message()?;
    Some(Group { chat: message.chat.id, id: message.media_group_id.as_deref()? })
}

fn same(album: &[Update], update: &Update) -> bool {
    group(update).is_some_and(|wanted| album.first().and_then(group) == Some(wanted))
}

/// Whether whoever sent the album has gone on to something else in the same conversation.
fn continues(first: &Update, said: &Message) -> bool {
    first.fresh_message().is_some_and(|album| {
        (album.chat.id, album.topic(), album.sender()) == (said.chat.id, said.topic(), said.sender())
    })
}
