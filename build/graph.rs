//! From an ONNX graph to the graph that is embedded: shapes inferred, operators checked, constants laid out.
//!
//! The output is Rust source (`classifier_graph.rs`) with the nodes as constant data and the tables as files next to
//! it, so that the module needs neither a parser nor an optimiser. Every operator that `src/analysis/classifier/onnx.rs` has no
//! kernel for is refused here, at build time, by name.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::wire::{self, Model, Node, Result, type_name};

const FLOAT32: i64 = 1;
const INT8: i64 = 3;
const INT64: i64 = 7;

/// Rows that 16 bits can name.
const MOST_ROWS: usize = 1 << 16;

/// Shape and constant content of a value of the graph, as far as they are known.
#[derive(Clone)]
struct Known {
    /// Number of the embedded node that makes it, if one does.
    node: Option<usize>,
    /// Rows of a table that were picked but not summed yet.
    rows: Option<Rows>,
    /// The nodes of a concatenation: a product takes it in parts, and so does who reads the output.
    parts: Vec<usize>,
    element_type: i64,
    shape: Vec<usize>,
}

/// The rows that a Gather picks: they become part of the product that sums them.
#[derive(Clone)]
struct Rows {
    /// Number of the embedded node that makes the ids.
    ids: usize,
    /// The table, as source text.
    table: String,
}

/// The embedded graph as source text, and what the manifest is checked against.
pub struct Packed {
    pub source: String,
    /// Rows of each table, in the order of use.
    pub table_rows: Vec<usize>,
}

/// One node of the embedded graph.
struct Embedded {
    kernel: Kernel,
    operands: Vec<usize>,
    datum: &'static str,
    shape: Vec<usize>,
}

/// Its operator, with what belongs to it as source text.
enum Kernel {
    Input,
    Bag {
        table: String,
        width: usize,
    },
    Dense {
        rows: usize,
        columns: usize,
        weights: String,
        relu: bool,
    },
}

impl std::fmt::Display for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Node { operator: Operator::")?;
        match &self.kernel {
            Kernel::Input => f.write_str("Input")?,
            Kernel::Bag { table, width } => write!(f, "Bag {{ table: {table}, width: {width} }}")?,
            Kernel::Dense {
                rows,
                columns,
                weights,
                relu,
            } => write!(
                f,
                "Dense {{ weights: PackedMatrix::new({weights}, {rows}, {columns}), relu: {relu} }}"
            )?,
        }
        let (operands, datum, shape) = (&self.operands, self.datum, &self.shape);
        write!(
            f,
            ", operands: &{operands:?}, datum: Datum::{datum}, shape: &{shape:?} }}"
        )
    }
}

struct Packer<'a> {
    model: &'a Model,
    out_dir: &'a Path,
    known: BTreeMap<String, Known>,
    nodes: Vec<Embedded>,
    /// Bytes of each constant.
    constants: Vec<usize>,
    table_rows: Vec<usize>,
}

/// Packs `model`; constants become files in `out_dir`.
pub fn pack(model: &Model, out_dir: &Path) -> Result<Packed> {
    if model.opset != 17 {
        return Err(format!(
            "opset {} where 17 is read; export it with opset 17",
            model.opset
        ));
    }
    let mut packer = Packer {
        model,
        out_dir,
        known: BTreeMap::new(),
        nodes: Vec::new(),
        constants: Vec::new(),
        table_rows: Vec::new(),
    };
    for input in &model.inputs {
        let (element, shape) = (input.element_type, &input.shape);
        packer.push(Kernel::Input, &input.name, vec![], element, shape);
    }
    let mut skip = None;
    for (index, node) in model.nodes.iter().enumerate() {
        if skip == Some(index) {
            continue;
        }
        let named = |error: String| {
            let output = node.outputs.first().map_or("", String::as_str);
            format!("operator `{}` (output `{output}`): {error}", node.operator)
        };
        if packer
            .add(node, model.nodes.get(index + 1))
            .map_err(named)?
        {
            skip = Some(index + 1);
        }
    }
    packer.finish()
}

impl Packer<'_> {
    fn push(
        &mut self,
        kernel: Kernel,
        output: &str,
        operands: Vec<usize>,
        element_type: i64,
        shape: &[usize],
    ) {
        self.nodes.push(Embedded {
            kernel,
            operands,
            datum: if element_type == INT64 { "Row" } else { "F32" },
            shape: shape.to_vec(),
        });
        let known = Known {
            node: Some(self.nodes.len() - 1),
            rows: None,
            parts: Vec::new(),
            element_type,
            shape: shape.to_vec(),
        };
        self.known.insert(output.to_owned(), known);
    }

    fn value(&self, name: &str) -> Result<Known> {
        if let Some(constant) = self.model.initializers.get(name) {
            return Ok(Known {
                node: None,
                rows: None,
                parts: Vec::new(),
                element_type: constant.element_type,
                shape: constant.shape.clone(),
            });
        }
        let missing = || format!("input `{name}` is made by no earlier node");
        self.known.get(name).cloned().ok_or_else(missing)
    }

    /// The node that makes a value, and the value's shape.
    fn computed(&self, name: &str, element: i64) -> Result<(usize, Vec<usize>)> {
        let (nodes, shape) = self.parts(name, element)?;
        let &[node] = nodes.as_slice() else {
            return Err(format!(
                "input `{name}` is a concatenation, which this operator's kernel does not take"
            ));
        };
        Ok((node, shape))
    }

    /// The nodes that make a value, several if it is a concatenation, and the shape of the whole.
    fn parts(&self, name: &str, element: i64) -> Result<(Vec<usize>, Vec<usize>)> {
        let mut value = self.value(name)?;
        value.parts.extend(value.node);
        if value.parts.is_empty() {
            return Err(format!(
                "input `{name}` is a constant or rows of a table, which this operator's kernel does not take there"
            ));
        }
        if value.element_type != element {
            return Err(format!(
                "input `{name}` is {} where {} is needed",
                type_name(value.element_type),
                type_name(element)
            ));
        }
        Ok((value.parts, value.shape))
    }

    /// The bytes of a constant.
    fn constant(&self, name: &str, element_type: i64, size: usize) -> Result<&[u8]> {
        let constant = self
            .model
            .initializers
            .get(name)
            .ok_or_else(|| format!("input `{name}` has to be an initializer"))?;
        if constant.element_type != element_type {
            return Err(format!(
                "initializer `{name}` is {} where {} is needed",
                type_name(constant.element_type),
                type_name(element_type)
            ));
        }
        let expected = constant.shape.iter().product::<usize>() * size;
        if constant.bytes.len() != expected {
            return Err(format!(
                "initializer `{name}` has {} bytes where its shape needs {expected}",
                constant.bytes.len()
            ));
        }
        Ok(&constant.bytes)
    }

    /// Writes a constant next to the generated source; what names it there.
    fn write_constant(&mut self, bytes: &[u8]) -> Result<String> {
        let number = self.constants.len();
        let file = constant_file(number);
        std::fs::write(self.out_dir.join(&file), bytes)
            .map_err(|error| format!("cannot write `{file}`: {error}"))?;
        self.constants.push(bytes.len());
        Ok(format!("&CONSTANT_{number}.0"))
    }

    /// Adds one node; whether `next` went into it.
    fn add(&mut self, node: &Node, next: Option<&Node>) -> Result<bool> {
        if let Some(attribute) = node.other_attributes.first() {
            return Err(format!("attribute `{attribute}` is not supported"));
        }
        match node.operator.as_str() {
            "Gather" => self.gather(node, next).map(|()| true),
            "MatMul" => self.mat_mul(node).map(|()| false),
            "Concat" => self.concat(node).map(|()| false),
            "Relu" => self.relu(node).map(|()| false),
            _ => Err("there is no kernel for it; see src/analysis/classifier/onnx.rs".into()),
        }
    }

    /// Gather of int8 rows and the Cast to float32 after it. Neither is a kernel: the product that reads them widens the
    /// rows as it sums them, and those of weight 0 (padding) are not read at all.
    fn gather(&mut self, node: &Node, next: Option<&Node>) -> Result<()> {
        let [table, indices] = arguments(&node.inputs)?;
        let [rows] = arguments(&node.outputs)?;
        let value = self.value(table)?;
        let (ids, ids_shape) = self.computed(indices, INT64)?;
        if node.attributes.get("axis").copied().unwrap_or(0) != 0 {
            return Err("only axis 0 is supported".into());
        }
        let &[table_rows, width] = value.shape.as_slice() else {
            return Err(format!("table `{table}` has to have two dimensions"));
        };
        if table_rows > MOST_ROWS {
            return Err(format!(
                "table `{table}` has {table_rows} rows where {MOST_ROWS} are the most"
            ));
        }
        let cast = next
            .filter(|next| next.operator == "Cast" && next.inputs == [rows.clone()])
            .filter(|next| next.attributes.get("to") == Some(&FLOAT32))
            .filter(|_| value.element_type == INT8)
            .ok_or(
                "it has to read an int8 table and be followed by a Cast of its output to float32",
            )?;
        let uses = |other: &&Node| other.inputs.contains(rows);
        if self.model.nodes.iter().filter(uses).count() != 1 {
            return Err(format!("`{rows}` has to be read by the Cast alone"));
        }
        let [output] = arguments(&cast.outputs)?;
        let bytes = self.constant(table, INT8, 1)?.to_vec();
        let bytes = self.write_constant(&bytes)?;
        self.table_rows.push(table_rows);
        let rows = Known {
            node: None,
            rows: Some(Rows { ids, table: bytes }),
            parts: Vec::new(),
            element_type: FLOAT32,
            shape: ids_shape.into_iter().chain([width]).collect(),
        };
        self.known.insert(output.clone(), rows);
        Ok(())
    }

    fn mat_mul(&mut self, node: &Node) -> Result<()> {
        let [left, right] = arguments(&node.inputs)?;
        let [output] = arguments(&node.outputs)?;
        let (parts, left_shape) = self.parts(left, FLOAT32)?;
        let right_value = self.value(right)?;
        let (&[rows, inner], &[inner_too, columns]) =
            (left_shape.as_slice(), right_value.shape.as_slice())
        else {
            return Err("both operands have to have two dimensions".into());
        };
        if inner != inner_too || rows != 1 {
            return Err(format!(
                "shapes {left_shape:?} and {:?}: the left operand has to be one row of {inner_too}",
                right_value.shape
            ));
        }
        let (kernel, operands) = match (right_value.rows, right_value.node) {
            (Some(Rows { ids, table }), _) => {
                let (weights, _) = self.computed(left, FLOAT32)?;
                let width = columns;
                (Kernel::Bag { table, width }, vec![ids, weights])
            }
            (None, Some(_)) => {
                return Err("one operand has to be a constant or a table's rows".into());
            }
            (None, None) => {
                let (weights, _) = self.constant(right, FLOAT32, 4)?.as_chunks();
                let weights: Vec<f32> = weights.iter().map(|x| f32::from_le_bytes(*x)).collect();
                let weights = pointsman_kernels::pack(&weights, inner).ok_or_else(|| {
                    format!("initializer `{right}` has to be rounded to bfloat16, as `models/train/export.py` does")
                })?;
                let kernel = Kernel::Dense {
                    rows: inner,
                    columns,
                    weights: self.write_constant(&weights)?,
                    relu: false,
                };
                (kernel, parts)
            }
        };
        self.push(kernel, output, operands, FLOAT32, &[rows, columns]);
        Ok(())
    }

    /// A Concat, which is no node: who reads its value takes it in parts.
    fn concat(&mut self, node: &Node) -> Result<()> {
        let [output] = arguments(&node.outputs)?;
        let (mut operands, mut columns) = (Vec::new(), 0);
        for name in &node.inputs {
            let (parts, shape) = self.parts(name, FLOAT32)?;
            let &[1, width] = shape.as_slice() else {
                return Err(format!("input `{name}` has to be one row"));
            };
            operands.extend(parts);
            columns += width;
        }
        if !matches!(node.attributes.get("axis"), Some(1 | -1)) {
            return Err("only axis 1 is supported".into());
        }
        let known = Known {
            node: None,
            rows: None,
            parts: operands,
            element_type: FLOAT32,
            shape: vec![1, columns],
        };
        self.known.insert(output.clone(), known);
        Ok(())
    }

    /// A Relu, which becomes part of the product before it.
    fn relu(&mut self, node: &Node) -> Result<()> {
        let [input] = arguments(&node.inputs)?;
        let [output] = arguments(&node.outputs)?;
        let (operand, _) = self.computed(input, FLOAT32)?;
        let uses = |other: &&Node| other.inputs.contains(input);
        let is_single = self.model.nodes.iter().filter(uses).count() == 1;
        match self.nodes.get_mut(operand).map(|node| &mut node.kernel) {
            Some(Kernel::Dense { relu, .. }) if is_single => *relu = true,
            _ => {
                return Err(format!(
                    "`{input}` has to be a product that nothing else reads"
                ));
            }
        }
        let known = self.value(input)?;
        self.known.insert(output.clone(), known);
        Ok(())
    }

    fn finish(self) -> Result<Packed> {
        let [output] = self.model.outputs.as_slice() else {
            return Err(format!(
                "{} outputs where one is read",
                self.model.outputs.len()
            ));
        };
        let (nodes, shape) = self
            .parts(&output.name, output.element_type)
            .map_err(|_| format!("output `{}` is made by no node of its type", output.name))?;
        if shape != output.shape {
            return Err(format!(
                "output `{}` is declared as {:?} and computed as {shape:?}",
                output.name, output.shape
            ));
        }
        let mut source = String::new();
        let write = |source: &mut String, text: std::fmt::Arguments<'_>| {
            source.write_fmt(text).map_err(|error| error.to_string())
        };
        write(
            &mut source,
            format_args!("pub(super) static NODES: &[Node] = &[\n"),
        )?;
        for node in &self.nodes {
            write(&mut source, format_args!("    {node},\n"))?;
        }
        write(
            &mut source,
            format_args!(
                "];\n/// The nodes whose values are the answer, one behind the other.\npub(super) const ANSWER: &[usize] = &{nodes:?};\n"
            ),
        )?;
        for (number, len) in self.constants.iter().enumerate() {
            let file = constant_file(number);
            write(
                &mut source,
                format_args!(
                    "static CONSTANT_{number}: Aligned<{len}> = Aligned(*include_bytes!({file:?}));\n"
                ),
            )?;
        }
        Ok(Packed {
            source,
            table_rows: self.table_rows,
        })
    }
}

fn constant_file(number: usize) -> String {
    format!("classifier_{number}.bin")
}

fn arguments<const N: usize>(names: &[String]) -> Result<&[String; N]> {
    <&[String; N]>::try_from(names)
        .map_err(|_| format!("{} inputs or outputs where {N} are needed", names.len()))
}

/// Checks the declared inputs and outputs of the file against the manifest's.
pub fn check_values(
    what: &str,
    listed: &[(String, String, Vec<usize>)],
    found: &[wire::Value],
) -> Result<()> {
    let found: Vec<_> = found
        .iter()
        .map(|value| {
            (
                value.name.clone(),
                type_name(value.element_type),
                value.shape.clone(),
            )
        })
        .collect();
    if listed == found.as_slice() {
        return Ok(());
    }
    Err(format!(
        "{what}: the manifest says {listed:?}, the ONNX file {found:?}"
    ))
}
