//! The pickle machine: opcodes to a graph of plain data.
//!
//! Follows the opcode list of Python's `pickletools` (protocols 0 to 5). No code runs: what a pickle asks to call is looked up in
//! a fixed list (`globals`) and becomes data, or the file is refused. Values live in one arena and refer to each other
//! by number, so shared and cyclic values cost nothing here and nothing recurses.

use std::collections::HashMap;
use std::io::BufRead;

use super::globals;
use super::graph::{bad, Graph, Id, Node, FALSE, NONE, TRUE};
use super::input::Input;

use crate::error::Result;

/// Values, memo entries, stack: no real checkpoint comes near.
const MAX_NODES: usize = 1 << 22;
/// One pickle, without the tensors' values.
const MAX_PICKLE: u64 = 128 << 20;
/// The name of a global: module, dot, name.
const MAX_GLOBAL: usize = 512;

/// Runs one pickle to its STOP.
pub(super) fn load<R: BufRead>(input: &mut Input<R>) -> Result<Graph> {
    let start = input.position();
    let mut machine = Machine { graph: Graph::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        let read = input.position() - start;
        machine.graph.set_read(read);
        let opcode = input.byte()?;
        if opcode == b'.' {
            break;
        }
        machine.step(opcode, input).map_err(|e| e.context(format!("opcode 0x{opcode:02x}")))?;
        if read > MAX_PICKLE || machine.graph.nodes.len().max(machine.memo.len()) > MAX_NODES {
            return Err(bad("is larger than any checkpoint's; save the weights alone (`state_dict`) and try again"));
        }
    }
    machine.graph.root = machine.pop()?;
    Ok(machine.graph)
}

/// The state of a run.
#[derive(Debug)]
struct Machine {
    graph: Graph,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl Machine {
    fn step<R: BufRead>(&mut self, opcode: u8, input: &mut Input<R>) -> Result<()> {
        match opcode {
            0x80 => match input.byte()? {
                0..=5 => Ok(()),
                version => Err(bad(format!("is of protocol {version}; 0 to 5 are read"))),
            },
            0x95 => {
                if u64::from_le_bytes(input.array()?) > input.left() {
                    return Err(bad("has a frame that is longer than the file"));
                }
                Ok(())
            }
            b'(' => {
                if self.marks.len() >= MAX_NODES {
                    return Err(bad("has too many marks"));
                }
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => match self.marks.last() {
                Some(&mark) if mark == self.stack.len() => self.pop_mark().map(drop),
                _ => self.pop().map(drop),
            },
            b'1' => self.pop_mark().map(drop),
            b'2' => self.push(self.top()?),
            b'N' => self.push(NONE),
            0x88 => self.push(TRUE),
            0x89 => self.push(FALSE),
            b'J' => self.push_int(i32::from_le_bytes(input.array()?).into()),
            b'K' => self.push_int(input.byte()?.into()),
            b'M' => self.push_int(u16::from_le_bytes(input.array()?).into()),
            b'I' | b'L' | b'F' | b'S' | b'V' => {
                let node = text_opcode(opcode, input.line()?)?;
                self.push_node(node)
            }
            0x8a => self.push_long(u64::from(input.byte()?), input),
            0x8b => {
                let count = i32::from_le_bytes(input.array()?);
                self.push_long(u64::try_from(count).map_err(|_| bad("has a negative length"))?, input)
            }
            b'G' => self.push_node(Node::Float(f64::from_be_bytes(input.array()?))),
            b'U' | b'C' | 0x8c => {
                let count = input.byte()?.into();
                self.push_bytes(opcode, count, input)
            }
            b'T' | b'X' | b'B' => {
                let count = u32::from_le_bytes(input.array()?).into();
                self.push_bytes(opcode, count, input)
            }
            0x8d | 0x8e | 0x96 => {
                let count = u64::from_le_bytes(input.array()?);
                self.push_bytes(opcode, count, input)
            }
            b']' | 0x8f => self.push_node(Node::List(Vec::new())),
            b'}' => self.push_node(Node::Dict(Vec::new())),
            b')' => self.push_node(Node::Tuple(Vec::new())),
            b'l' | 0x91 => {
                let items = self.pop_mark()?;
                self.push_node(Node::List(items))
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push_node(Node::Tuple(items))
            }
            0x85..=0x87 => {
                let mut items = vec![NONE; usize::from(opcode - 0x84)];
                for slot in items.iter_mut().rev() {
                    *slot = self.pop()?;
                }
                self.push_node(Node::Tuple(items))
            }
            b'd' => {
                let items = pairs(self.pop_mark()?)?;
                self.push_node(Node::Dict(items))
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend_list(items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(vec![(key, value)])
            }
            b'u' => {
                let items = pairs(self.pop_mark()?)?;
                self.extend_dict(items)
            }
            b'p' | b'q' | b'r' | 0x94 => {
                let slot = match opcode {
                    b'p' => number(&input.line()?)?,
                    b'q' => input.byte()?.into(),
                    b'r' => u32::from_le_bytes(input.array()?).into(),
                    _ => self.memo.len() as u64,
                };
                self.memo.insert(slot, self.top()?);
                Ok(())
            }
            b'g' | b'h' | b'j' => {
                let slot = match opcode {
                    b'g' => number(&input.line()?)?,
                    b'h' => input.byte()?.into(),
                    _ => u32::from_le_bytes(input.array()?).into(),
                };
                let id = self.memo.get(&slot).copied();
                self.push(id.ok_or_else(|| bad(format!("uses memo entry {slot} before setting it")))?)
            }
            b'c' => {
                let module = lossy(input.line()?);
                let name = lossy(input.line()?);
                let id = self.global(&module, &name)?;
                self.push(id)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Node::Text(module), Node::Text(name)) = (self.graph.node(module), self.graph.node(name)) else {
                    return Err(bad("names a global by something that is not text"));
                };
                let (module, name) = (module.clone(), name.clone());
                self.graph.charge(module.len() + name.len())?;
                let id = self.global(&module, &name)?;
                self.push(id)
            }
            b'R' | 0x81 => {
                let args = self.pop()?;
                let callable = self.pop()?;
                let id = globals::call(&mut self.graph, callable, args)?;
                self.push(id)
            }
            0x92 => {
                let _keywords = self.pop()?;
                let args = self.pop()?;
                let class = self.pop()?;
                let id = globals::call(&mut self.graph, class, args)?;
                self.push(id)
            }
            b'o' => {
                let mut items = self.pop_mark()?;
                if items.is_empty() {
                    return Err(bad("makes an object without a class"));
                }
                let class = items.remove(0);
                self.instance(class, items)
            }
            b'i' => {
                let module = lossy(input.line()?);
                let name = lossy(input.line()?);
                let items = self.pop_mark()?;
                let class = self.global(&module, &name)?;
                self.instance(class, items)
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                globals::build(&mut self.graph, target, state)
            }
            b'Q' => {
                let pid = self.pop()?;
                let id = globals::persistent(&mut self.graph, pid)?;
                self.push(id)
            }
            b'P' => Err(bad("has a persistent id in text form, which torch does not write; save it with protocol 2")),
            0x82..=0x84 => {
                Err(bad("uses the extension registry, which only code that runs could answer; refuse the file"))
            }
            0x97 | 0x98 => Err(bad("keeps its data out of band; save it with `torch.save`")),
            _ => Err(bad("is not a pickle opcode: the file is damaged or not a checkpoint")),
        }
    }

    fn push(&mut self, id: Id) -> Result<()> {
        if self.stack.len() >= MAX_NODES {
            return Err(bad("stacks too many values"));
        }
        self.stack.push(id);
        Ok(())
    }

    fn push_node(&mut self, node: Node) -> Result<()> {
        let id = self.graph.add(node)?;
        self.push(id)
    }

    fn push_int(&mut self, value: i64) -> Result<()> {
        self.push_node(Node::Int(value))
    }

    fn push_long<R: BufRead>(&mut self, count: u64, input: &mut Input<R>) -> Result<()> {
        let bytes = input.bytes(count)?;
        if bytes.len() > 8 {
            // Beyond 64 bits: kept as its little-endian bytes.
            let global = self.global("builtins", "int")?;
            let value = self.graph.add(Node::Bytes(bytes))?;
            let args = self.graph.add(Node::Tuple(vec![value]))?;
            let id = self.graph.made(global, args)?;
            return self.push(id);
        }
        let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [sign; 8];
        wide[..bytes.len()].copy_from_slice(&bytes);
        self.push_int(i64::from_le_bytes(wide))
    }

    fn push_bytes<R: BufRead>(&mut self, opcode: u8, count: u64, input: &mut Input<R>) -> Result<()> {
        let bytes = input.bytes(count)?;
        let node = match opcode {
            b'X' | 0x8c | 0x8d => Node::Text(lossy(bytes)),
            // Python 2's `str`: text in nearly every file.
            b'U' | b'T' => text_or_bytes(bytes),
            _ => Node::Bytes(bytes),
        };
        self.push_node(node)
    }

    fn pop(&mut self) -> Result<Id> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return Err(bad("takes a value from an empty stack: the file is damaged"));
        }
        self.stack.pop().ok_or_else(|| bad("takes a value from an empty stack: the file is damaged"))
    }

    fn top(&self) -> Result<Id> {
        match self.stack.last() {
            Some(&id) if self.stack.len() > self.marks.last().copied().unwrap_or(0) => Ok(id),
            _ => Err(bad("takes a value from an empty stack: the file is damaged")),
        }
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| bad("closes a mark that was never set: the file is damaged"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn extend_list(&mut self, more: Vec<Id>) -> Result<()> {
        let target = self.top()? as usize;
        match self.graph.nodes.get_mut(target) {
            Some(Node::List(items)) => items.extend(more),
            _ => return Err(bad("appends to what is not a list")),
        }
        Ok(())
    }

    fn extend_dict(&mut self, more: Vec<(Id, Id)>) -> Result<()> {
        let target = self.top()? as usize;
        match self.graph.nodes.get_mut(target) {
            Some(Node::Dict(items)) => items.extend(more),
            Some(Node::Made(made)) => made.items.extend(more),
            _ => return Err(bad("sets an item of what is not a dictionary")),
        }
        Ok(())
    }

    fn instance(&mut self, class: Id, args: Vec<Id>) -> Result<()> {
        let args = self.graph.add(Node::Tuple(args))?;
        let id = globals::call(&mut self.graph, class, args)?;
        self.push(id)
    }

    fn global(&mut self, module: &str, name: &str) -> Result<Id> {
        if module.len() + name.len() >= MAX_GLOBAL {
            return Err(bad("names a global of more than 512 bytes; refuse the file"));
        }
        self.graph.add(Node::Global(format!("{module}.{name}")))
    }
}

fn pairs(items: Vec<Id>) -> Result<Vec<(Id, Id)>> {
    match items.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => Err(bad("has a key without a value: the file is damaged")),
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn text_or_bytes(bytes: Vec<u8>) -> Node {
    String::from_utf8(bytes).map_or_else(|e| Node::Bytes(e.into_bytes()), Node::Text)
}

fn number(line: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(line).unwrap_or_default();
    text.trim().parse().map_err(|_| bad(format!("has the memo number {text:?}")))
}

/// The opcodes of protocol 0 that hold their value as a line of text.
fn text_opcode(opcode: u8, line: Vec<u8>) -> Result<Node> {
    let text = lossy(line);
    let wrong = || bad(format!("has the value {:?}, which cannot be read", text.chars().take(40).collect::<String>()));
    Ok(match opcode {
        b'I' if text == "00" => Node::Bool(false),
        b'I' if text == "01" => Node::Bool(true),
        b'I' | b'L' => Node::Int(text.trim().trim_end_matches('L').parse().map_err(|_| wrong())?),
        b'F' => Node::Float(text.trim().parse().map_err(|_| wrong())?),
        b'V' => Node::Text(unescape(&text, true).and_then(|b| String::from_utf8(b).ok()).ok_or_else(wrong)?),
        _ => {
            let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or_else(wrong)?;
            let inner = text.get(1..).and_then(|t| t.strip_suffix(quote)).ok_or_else(wrong)?;
            text_or_bytes(unescape(inner, false).ok_or_else(wrong)?)
        }
    })
}

/// Undoes Python's escapes: `\uXXXX` and `\UXXXXXXXX` in `unicode` text, those of `repr` in a byte string.
fn unescape(text: &str, unicode: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let kind = escape.chars().next();
        let hex = |count: usize| u32::from_str_radix(escape.get(1..1 + count)?, 16).ok();
        let (value, used) = match (unicode, kind) {
            (true, Some('u')) => (char::from_u32(hex(4)?)?, 5),
            (true, Some('U')) => (char::from_u32(hex(8)?)?, 9),
            (true, _) => ('\\', 0),
            (false, Some('x')) => {
                out.push(u8::try_from(hex(2)?).ok()?);
                rest = escape.get(3..)?;
                continue;
            }
            (false, Some('n')) => ('\n', 1),
            (false, Some('r')) => ('\r', 1),
            (false, Some('t')) => ('\t', 1),
            (false, Some(c @ ('\\' | '\'' | '"'))) => (c, 1),
            (false, _) => return None,
        };
        out.extend_from_slice(value.encode_utf8(&mut [0; 4]).as_bytes());
        rest = escape.get(used..)?;
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}
