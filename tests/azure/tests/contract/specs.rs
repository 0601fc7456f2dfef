//! The specification files: operations, examples, references across files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Those that the simulator is held against, and the prefix of their operations in the table.
const FILES: [&str; 7] = [
    "managedidentity/2023-01-31/ManagedIdentity.json",
    "authorization/2022-04-01/authorization-RoleAssignmentsCalls.json",
    "authorization/2022-04-01/authorization-RoleDefinitionsCalls.json",
    "containerservice/2024-02-01/managedClusters.trimmed.json",
    "keyvault-arm/2023-07-01/keyvault.json",
    "keyvault-arm/2023-07-01/secrets.json",
    "keyvault-secrets/7.5/secrets.json",
];
/// Examples of later versions than that of the specification by which they are judged.
const NEWER: [&str; 2] = [
    "authorization/2026-08-01/examples",
    "managedidentity/2026-05-31/examples",
];
const GRAPH: &str = "resourcegraph/2022-10-01/resourcegraph.json";

/// A part of a file, from which its references are resolved.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    pub(crate) file: &'a Path,
    pub(crate) value: &'a Value,
}

/// One example of one operation.
pub(crate) struct Example<'a> {
    pub(crate) operation: String,
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) definition: Node<'a>,
    /// None if the specification names it and the folder does not hold it.
    pub(crate) content: Option<Value>,
}

/// All files of the folder.
pub(crate) struct Specs {
    root: PathBuf,
    files: BTreeMap<PathBuf, Value>,
}

impl Specs {
    pub(crate) fn load(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "json") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
                    files.insert(path, value);
                }
            }
        }
        Self {
            root: root.to_owned(),
            files,
        }
    }

    /// Follows references until something stands there; None if it leads to a file that the folder lacks.
    pub(crate) fn resolve<'a>(&'a self, node: Node<'a>) -> Option<Node<'a>> {
        let Some(reference) = node.value["$ref"].as_str() else {
            return Some(node);
        };
        let (file, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let (path, value) = if file.is_empty() {
            (node.file, self.files.get(node.file)?)
        } else {
            let found = match file.split_once("common-types/resource-management/") {
                Some((_, common)) => self.common(common),
                None => node.file.parent()?.join(file.trim_start_matches("./")),
            };
            let (path, value) = self.files.get_key_value(&found)?;
            (path.as_path(), value)
        };
        self.resolve(Node {
            file: path,
            value: value.pointer(pointer)?,
        })
    }

    /// The types that all providers share. The folder holds their newest version, and the same definitions as the older
    /// ones have under the same names: resources, errors, parameters.
    fn common(&self, name: &str) -> PathBuf {
        let folder = self.root.join("common-types");
        let exact = folder.join(name);
        if self.files.contains_key(&exact) {
            return exact;
        }
        let newest = name.split_once('/').map_or(name, |(_, file)| file);
        folder.join("v5").join(newest)
    }

    /// A file of the folder.
    pub(crate) fn file(&self, name: &str) -> &Value {
        let path = self.root.join(name);
        let found = self.files.get(&path);
        found.unwrap_or_else(|| panic!("{name} is missing in {}", self.root.display()))
    }

    /// Examples of later versions, each for the operation that has an example of the same name.
    fn newer<'a>(&'a self, known: &[Example<'a>]) -> Vec<Example<'a>> {
        let mut newer = Vec::new();
        for folder in NEWER {
            let folder = self.root.join(folder);
            let provider = folder.parent().unwrap();
            for (path, content) in self.files.range(folder.clone()..) {
                if !path.starts_with(&folder) {
                    break;
                }
                let name = path.file_name().unwrap().to_str().unwrap();
                let of = |one: &&Example<'_>| {
                    one.name == name && one.definition.file.starts_with(provider.parent().unwrap())
                };
                let of = known
                    .iter()
                    .find(of)
                    .unwrap_or_else(|| panic!("no operation for {}", path.display()));
                newer.push(Example {
                    operation: of.operation.clone(),
                    name: format!("{name} ({})", provider.file_name().unwrap().display()),
                    method: of.method.clone(),
                    path: of.path.clone(),
                    definition: of.definition,
                    content: Some(content.clone()),
                });
            }
        }
        newer
    }

    /// Every example that the specifications name, and those of later versions.
    pub(crate) fn examples(&self) -> Vec<Example<'_>> {
        let mut all = Vec::new();
        for name in FILES.iter().chain([&GRAPH]) {
            let Some((file, spec)) = self.files.get_key_value(&self.root.join(name)) else {
                panic!("{name} is missing in {}", self.root.display());
            };
            for (path, methods) in ["paths", "x-ms-paths"]
                .iter()
                .filter_map(|key| spec[key].as_object())
                .flatten()
            {
                for (method, value) in methods.as_object().unwrap() {
                    let Some(operation) = value["operationId"].as_str() else {
                        continue;
                    };
                    for (_, reference) in value["x-ms-examples"].as_object().into_iter().flatten() {
                        let node = Node {
                            file,
                            value: reference,
                        };
                        let named = reference["$ref"].as_str().unwrap();
                        all.push(Example {
                            operation: operation.to_owned(),
                            name: named.rsplit('/').next().unwrap().to_owned(),
                            method: method.clone(),
                            path: path.clone(),
                            definition: Node { file, value },
                            content: self.resolve(node).map(|found| found.value.clone()),
                        });
                    }
                }
            }
        }
        let newer = self.newer(&all);
        all.extend(newer);
        all
    }
}
