//! The body of a request as bytes.

use http::HeaderValue;

use super::prepare::Refused;
use crate::connectors::wasm::bindings::kheish::connector::http::{Body, FormField, FormValue};

/// Fields of one form.
const FIELDS: usize = 64;

/// Writes a body, and its media type where the host decides it.
pub(super) fn write(body: Body, most: usize) -> Result<(Vec<u8>, Option<HeaderValue>), Refused> {
    let (bytes, content_type) = match body {
        Body::Empty => (Vec::new(), None),
        Body::Bytes(bytes) => (bytes, None),
        Body::Asset(_) => return Err(no_files()),
        Body::Multipart(fields) => {
            let boundary = format!("kheish-{:032x}", rand::random::<u128>());
            let content_type = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"))
                .map_err(|error| Refused::Denied(error.to_string()))?;
            (form(&fields, &boundary)?, Some(content_type))
        }
    };
    if bytes.len() > most {
        let reason = format!("the body has more than {most} bytes (guests.requests.body_bytes)");
        return Err(Refused::TooLarge(reason));
    }
    Ok((bytes, content_type))
}

fn no_files() -> Refused {
    Refused::Denied("this host has no files to send".to_owned())
}

fn form(fields: &[FormField], boundary: &str) -> Result<Vec<u8>, Refused> {
    if fields.len() > FIELDS {
        return Err(Refused::TooLarge(format!("a form has more than {FIELDS} fields")));
    }
    let mut form = Vec::new();
    for field in fields {
        let (head, data) = match &field.value {
            FormValue::Text(text) => (head(&field.name, None)?, text.as_bytes()),
            FormValue::Bytes(part) => (head(&field.name, Some((&part.file_name, &part.media_type)))?, &part.data[..]),
            FormValue::Asset(_) => return Err(no_files()),
        };
        form.extend_from_slice(format!("--{boundary}\r\n{head}\r\n").as_bytes());
        form.extend_from_slice(data);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok(form)
}

/// The headers of a field: its name, and of a file its name and media type.
fn head(name: &str, file: Option<(&str, &str)>) -> Result<String, Refused> {
    let mut head = format!("content-disposition: form-data; name=\"{}\"", escaped(name));
    if let Some((file_name, media_type)) = file {
        if HeaderValue::from_str(media_type).is_err() {
            return Err(Refused::Denied("a media type of the form cannot be sent".to_owned()));
        }
        head.push_str(&format!("; filename=\"{}\"\r\ncontent-type: {media_type}", escaped(file_name)));
    }
    head.push_str("\r\n");
    Ok(head)
}

/// As browsers write it: nothing in a name ends it early.
fn escaped(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::connectors::wasm::bindings::kheish::connector::http::BytesPart;

    fn text(name: &str, value: &str) -> FormField {
        FormField { name: name.to_owned(), value: FormValue::Text(value.to_owned()) }
    }

    #[test]
    fn a_form_reads_as_it_was_meant() {
        let file =
            BytesPart { data: vec![0, 255], file_name: "a\"\r\nx: y".to_owned(), media_type: "image/png".to_owned() };
        let fields = [text("chat", "7"), FormField { name: "photo".to_owned(), value: FormValue::Bytes(file) }];
        let expected = b"--b\r\ncontent-disposition: form-data; name=\"chat\"\r\n\r\n7\r\n\
            --b\r\ncontent-disposition: form-data; name=\"photo\"; filename=\"a%22%0D%0Ax: y\"\r\ncontent-type: image/png\r\n\r\n\
            \x00\xff\r\n--b--\r\n";
        assert_eq!(String::from_utf8_lossy(&form(&fields, "b").unwrap()), String::from_utf8_lossy(expected));
        let wrong = BytesPart { data: Vec::new(), file_name: String::new(), media_type: "a\r\nb".to_owned() };
        assert!(form(&[FormField { name: String::new(), value: FormValue::Bytes(wrong) }], "b").is_err());
    }

    proptest! {
        #[test]
        fn a_name_never_ends_its_header(name in "\\PC{0,20}|[\"\r\n]{0,6}", file in "[\"\r\na-z]{0,12}") {
            let head = head(&name, Some((&file, "text/plain"))).unwrap();
            prop_assert_eq!(head.matches('\n').count(), 2);
            prop_assert_eq!(head.matches('"').count(), 4);
        }
    }
}
