//! The routes of the API, as the template declares them.

use std::collections::BTreeSet;

use crate::in_repository;

/// A route of the API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The path, with its variables in braces.
    pub path: String,
    /// `GET`, `POST`, …
    pub method: String,
    /// Whether it is called without credentials.
    pub is_open: bool,
}

/// All routes.
pub fn routes() -> BTreeSet<Route> {
    let template: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&in_repository("template.yaml")).expect("the template is YAML");
    let resources = template["Resources"].as_mapping().expect("it has resources");
    let events = resources.values().filter_map(|resource| resource["Properties"]["Events"].as_mapping());
    let routes = events.flat_map(serde_yaml_ng::Mapping::values).filter(|event| event["Type"] == "Api");
    let of_functions = routes.map(|route| {
        let route = &route["Properties"];
        let text = |name: &str| route[name].as_str().expect("a route has a path and a method").to_owned();
        // A greedy variable is written as any other one everywhere else.
        let path = text("Path").replace("+}", "}");
        Route { path, method: text("Method"), is_open: route["Auth"]["Authorizer"] == "NONE" }
    });
    // The one that API Gateway answers itself.
    of_functions.chain([Route { path: "/health".to_owned(), method: "GET".to_owned(), is_open: true }]).collect()
}
