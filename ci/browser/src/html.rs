//! What an HTML file asks of the browser, without a browser.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer,
};

/// The parts of an HTML file that a Content-Security-Policy or the page's weight is about.
#[derive(Default)]
pub struct Html {
    /// The value of `<meta http-equiv="Content-Security-Policy">`.
    pub policy: Option<String>,
    /// Does the file only send the reader elsewhere? mdBook has no place for a policy there.
    pub is_redirect: bool,
    pub inline_scripts: Vec<String>,
    /// `onclick="…"` and the like.
    pub handlers: Vec<String>,
    pub style_elements: Vec<String>,
    pub style_attributes: Vec<String>,
    /// What the browser fetches for this file, as written there.
    pub resources: Vec<String>,
}

impl Html {
    pub fn parse(text: &str) -> Self {
        let input = BufferQueue::default();
        input.push_back(StrTendril::from(text));
        let tokenizer = Tokenizer::new(Collector::default(), Default::default());
        let _ = tokenizer.feed(&input);
        tokenizer.end();
        tokenizer.sink.html.into_inner()
    }
}

#[derive(Default)]
struct Collector {
    html: RefCell<Html>,
    /// In `<noscript>`, which counts only where scripts do not run.
    noscript: RefCell<bool>,
    raw: RefCell<Option<Raw>>,
}

/// The element whose text is being collected.
enum Raw {
    Script,
    Style,
}

impl TokenSink for Collector {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        match token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => self.start(&tag),
            Token::TagToken(tag) => {
                *self.raw.borrow_mut() = None;
                if &*tag.name == "noscript" {
                    *self.noscript.borrow_mut() = false;
                }
                TokenSinkResult::Continue
            }
            Token::CharacterTokens(text) => {
                let mut html = self.html.borrow_mut();
                let last = match *self.raw.borrow() {
                    Some(Raw::Script) => html.inline_scripts.last_mut(),
                    Some(Raw::Style) => html.style_elements.last_mut(),
                    None => None,
                };
                if let Some(last) = last {
                    last.push_str(&text);
                }
                TokenSinkResult::Continue
            }
            _ => TokenSinkResult::Continue,
        }
    }
}

impl Collector {
    fn start(&self, tag: &Tag) -> TokenSinkResult<()> {
        let attribute = |name: &str| {
            let found = tag
                .attrs
                .iter()
                .find(|attribute| &*attribute.name.local == name);
            found.map(|attribute| attribute.value.to_string())
        };
        let mut html = self.html.borrow_mut();
        html.style_attributes.extend(attribute("style"));
        let handlers = tag
            .attrs
            .iter()
            .filter(|attribute| attribute.name.local.starts_with("on"));
        html.handlers.extend(
            handlers.map(|handler| format!("{}=\"{}\"", handler.name.local, handler.value)),
        );

        let resource = match &*tag.name {
            "noscript" => {
                *self.noscript.borrow_mut() = true;
                None
            }
            "meta" => {
                let kind = attribute("http-equiv").unwrap_or_default();
                if kind.eq_ignore_ascii_case("Content-Security-Policy") {
                    html.policy = attribute("content");
                }
                html.is_redirect |= kind.eq_ignore_ascii_case("refresh");
                None
            }
            "link" => {
                let relations = attribute("rel").unwrap_or_default();
                let fetched = ["stylesheet", "icon", "preload", "modulepreload", "manifest"];
                let is_fetched = relations
                    .split_whitespace()
                    .any(|relation| fetched.contains(&relation));
                attribute("href").filter(|_| is_fetched)
            }
            "script" | "img" | "iframe" | "video" | "audio" | "source" | "track" | "embed" => {
                attribute("src")
            }
            "object" => attribute("data"),
            "image" | "use" => attribute("href"),
            _ => None,
        };
        if !*self.noscript.borrow() {
            html.resources
                .extend(resource.filter(|resource| !resource.starts_with('#')));
        }

        match &*tag.name {
            "script" => {
                // A script with a source has no text; mdBook writes no other types than JavaScript.
                if attribute("src").is_none() {
                    html.inline_scripts.push(String::new());
                    *self.raw.borrow_mut() = Some(Raw::Script);
                }
                TokenSinkResult::RawData(RawKind::ScriptData)
            }
            "style" => {
                html.style_elements.push(String::new());
                *self.raw.borrow_mut() = Some(Raw::Style);
                TokenSinkResult::RawData(RawKind::Rawtext)
            }
            "title" | "textarea" => TokenSinkResult::RawData(RawKind::Rcdata),
            _ => TokenSinkResult::Continue,
        }
    }
}
