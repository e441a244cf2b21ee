//! Where in a value or in a document something stands, as an error says it: `Record/embed/images/0`.

use std::fmt;

/// A place, as a chain of segments on the stack: nothing is allocated until an error is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: Segment<'a>,
    depth: usize,
}

#[derive(Clone, Copy, Debug)]
enum Segment<'a> {
    Name(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// The place where all begins, under the name that errors give it.
    pub(crate) fn root(name: &'a str) -> Self {
        Self { parent: None, segment: Segment::Name(name), depth: 0 }
    }

    /// The member `name` of what stands here.
    pub(crate) fn name(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), segment: Segment::Name(name), depth: self.depth.saturating_add(1) }
    }

    /// The element `index` of what stands here.
    pub(crate) fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), segment: Segment::Index(index), depth: self.depth.saturating_add(1) }
    }

    /// How many segments stand before this one.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}/")?;
        }
        match self.segment {
            Segment::Name(name) => f.write_str(name),
            Segment::Index(index) => write!(f, "{index}"),
        }
    }
}
