//! A reader of the few messages of ONNX that a classifier file holds.
//!
//! ONNX is Protocol Buffers: numbered fields of four kinds. Reading them takes a page, and saves every build the minutes
//! that compiling a full importer for the host takes. Field numbers are those of `onnx.proto3`. It interprets nothing;
//! `graph.rs` does.

use std::collections::BTreeMap;

/// Why a file is refused.
pub type Result<T> = std::result::Result<T, String>;

/// One graph of an ONNX file.
#[derive(Default)]
pub struct Model {
    /// Version of the default operator set.
    pub opset: i64,
    pub nodes: Vec<Node>,
    /// Constants by name.
    pub initializers: BTreeMap<String, Tensor>,
    pub inputs: Vec<Value>,
    pub outputs: Vec<Value>,
}

/// One operation.
#[derive(Default)]
pub struct Node {
    pub operator: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    /// Integer attributes by name; `other_attributes` names the rest.
    pub attributes: BTreeMap<String, i64>,
    pub other_attributes: Vec<String>,
}

/// A constant.
#[derive(Default)]
pub struct Tensor {
    pub shape: Vec<usize>,
    /// `TensorProto.DataType`: 1 float32, 3 int8, 7 int64.
    pub element_type: i64,
    /// Little-endian elements.
    pub bytes: Vec<u8>,
}

/// An input or output of the graph.
#[derive(Default)]
pub struct Value {
    pub name: String,
    pub element_type: i64,
    pub shape: Vec<usize>,
}

/// Name of a `TensorProto.DataType`.
pub fn type_name(element_type: i64) -> String {
    match element_type {
        1 => "float32".into(),
        3 => "int8".into(),
        7 => "int64".into(),
        other => format!("type {other}"),
    }
}

enum Field<'a> {
    Integer(u64),
    Bytes(&'a [u8]),
    Fixed32,
    Fixed64,
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn integer(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self
                .0
                .split_first()
                .ok_or("the file ends inside a number")?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number of more than ten bytes".into())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, rest) = self
            .0
            .split_at_checked(count)
            .ok_or("the file ends inside a field")?;
        self.0 = rest;
        Ok(head)
    }

    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.integer()?;
        let field = match key & 7 {
            0 => Field::Integer(self.integer()?),
            1 => self.take(8).map(|_| Field::Fixed64)?,
            2 => {
                let length = self.integer()? as usize;
                Field::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Field::Fixed32)?,
            kind => return Err(format!("a field of unknown kind {kind}")),
        };
        Ok(Some((key >> 3, field)))
    }
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a name is not UTF-8".into())
}

/// Integers, packed into one field or one to a field.
fn integers(into: &mut Vec<i64>, field: Field<'_>) -> Result<()> {
    match field {
        Field::Integer(value) => into.push(value as i64),
        Field::Bytes(bytes) => {
            let mut packed = Fields(bytes);
            while !packed.0.is_empty() {
                into.push(packed.integer()? as i64);
            }
        }
        Field::Fixed32 | Field::Fixed64 => return Err("an integer field of fixed width".into()),
    }
    Ok(())
}

/// Reads `ModelProto`.
pub fn read_model(bytes: &[u8]) -> Result<Model> {
    let mut model = Model::default();
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (7, Field::Bytes(graph)) => read_graph(graph, &mut model)?,
            (8, Field::Bytes(opset)) => {
                let (mut domain, mut version) = (String::new(), 0);
                let mut fields = Fields(opset);
                while let Some((number, field)) = fields.next()? {
                    match (number, field) {
                        (1, Field::Bytes(name)) => domain = text(name)?,
                        (2, Field::Integer(value)) => version = value as i64,
                        _ => {}
                    }
                }
                if domain.is_empty() {
                    model.opset = version;
                }
            }
            _ => {}
        }
    }
    Ok(model)
}

fn read_graph(bytes: &[u8], model: &mut Model) -> Result<()> {
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes(node)) => model.nodes.push(read_node(node)?),
            (5, Field::Bytes(tensor)) => {
                let (name, tensor) = read_tensor(tensor)?;
                model.initializers.insert(name, tensor);
            }
            (11, Field::Bytes(value)) => model.inputs.push(read_value(value)?),
            (12, Field::Bytes(value)) => model.outputs.push(read_value(value)?),
            (15, Field::Bytes(_)) => return Err("sparse initializers are not supported".into()),
            _ => {}
        }
    }
    // Files of old converters list the initializers among the inputs.
    model
        .inputs
        .retain(|input| !model.initializers.contains_key(&input.name));
    Ok(())
}

fn read_node(bytes: &[u8]) -> Result<Node> {
    let mut node = Node::default();
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes(name)) => node.inputs.push(text(name)?),
            (2, Field::Bytes(name)) => node.outputs.push(text(name)?),
            (4, Field::Bytes(operator)) => node.operator = text(operator)?,
            (5, Field::Bytes(attribute)) => {
                let (mut name, mut integer) = (String::new(), None);
                let mut fields = Fields(attribute);
                while let Some((number, field)) = fields.next()? {
                    match (number, field) {
                        (1, Field::Bytes(bytes)) => name = text(bytes)?,
                        (3, Field::Integer(value)) => integer = Some(value as i64),
                        _ => {}
                    }
                }
                match integer {
                    Some(value) => drop(node.attributes.insert(name, value)),
                    None => node.other_attributes.push(name),
                }
            }
            (7, Field::Bytes(domain)) if !domain.is_empty() => {
                return Err(format!("an operator of the domain `{}`", text(domain)?));
            }
            _ => {}
        }
    }
    Ok(node)
}

fn read_tensor(bytes: &[u8]) -> Result<(String, Tensor)> {
    let (mut name, mut tensor, mut shape) = (String::new(), Tensor::default(), Vec::new());
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, dims) => integers(&mut shape, dims)?,
            (2, Field::Integer(value)) => tensor.element_type = value as i64,
            (8, Field::Bytes(bytes)) => name = text(bytes)?,
            (9, Field::Bytes(raw)) => tensor.bytes = raw.to_vec(),
            // Packed floats are little-endian already; the typed integer fields would need a conversion that no
            // exporter's output asks for.
            (4, Field::Bytes(floats)) => tensor.bytes.extend_from_slice(floats),
            (5 | 7, _) => return Err("an initializer that is not stored as raw_data".into()),
            (13, _) => return Err("an initializer that is stored outside the file".into()),
            _ => {}
        }
    }
    tensor.shape = shape.into_iter().map(|dim| dim as usize).collect();
    Ok((name, tensor))
}

fn read_value(bytes: &[u8]) -> Result<Value> {
    let mut value = Value::default();
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes(name)) => value.name = text(name)?,
            (2, Field::Bytes(kind)) => {
                let mut kind = Fields(kind);
                while let Some((number, field)) = kind.next()? {
                    if let (1, Field::Bytes(tensor)) = (number, field) {
                        read_tensor_type(tensor, &mut value)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(value)
}

fn read_tensor_type(bytes: &[u8], value: &mut Value) -> Result<()> {
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Integer(kind)) => value.element_type = kind as i64,
            (2, Field::Bytes(shape)) => {
                let mut dims = Fields(shape);
                while let Some((number, field)) = dims.next()? {
                    if let (1, Field::Bytes(dim)) = (number, field) {
                        match Fields(dim).next()? {
                            Some((1, Field::Integer(size))) => value.shape.push(size as usize),
                            _ => {
                                return Err(format!(
                                    "`{}` has a dimension without a size: shapes have to be static",
                                    value.name
                                ));
                            }
                        }
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}
