//! Related tables inside a row, as the published cases have them.

use serde_json::json;

use super::tables::cloud;

#[test]
fn embeds_follow_foreign_keys_both_ways() {
    let mut cloud = cloud();
    for (target, expected) in [
        (
            "tasks?id=in.(1,5)&select=id,projects(name,clients!projects_client_id_fkey(name))",
            json!([
                {"id": 1, "projects": {"name": "Windows 7", "clients": {"name": "Microsoft"}}},
                {"id": 5, "projects": {"name": "IOS", "clients": {"name": "Apple"}}}
            ]),
        ),
        (
            "projects?select=id,t:tasks(id)&t.order=id.desc&t.limit=1&id=in.(1,5)",
            json!([{"id": 1, "t": [{"id": 2}]}, {"id": 5, "t": []}]),
        ),
        (
            "projects?select=id,client:client_id(name)&id=in.(3,5)",
            json!([{"id": 3, "client": {"name": "Apple"}}, {"id": 5, "client": null}]),
        ),
        ("projects?select=id,clients!payer_id!inner(id)&clients.id=eq.1", json!([{"id": 2, "clients": {"id": 1}}])),
        ("projects?select=id,tasks!inner()&tasks.name=like.Design*", json!([{"id": 1}, {"id": 2}, {"id": 3}])),
        (
            "projects?select=id,tasks(count)&id=in.(1,5)",
            json!([{"id": 1, "tasks": [{"count": 2}]}, {"id": 5, "tasks": [{"count": 0}]}]),
        ),
        ("projects?select=id,tasks()&tasks=is.null", json!([{"id": 5}])),
        ("projects?select=id,tasks()&tasks=not.is.null&id=gt.1", json!([{"id": 2}, {"id": 3}])),
        (
            "projects?select=id,tasks(id)&tasks.name=like.Code*&id=lt.3",
            json!([{"id": 1, "tasks": [{"id": 2}]}, {"id": 2, "tasks": []}]),
        ),
        (
            "projects?select=id,tasks(id)&tasks.or=(id.eq.1,id.eq.3)&id=lt.3",
            json!([{"id": 1, "tasks": [{"id": 1}]}, {"id": 2, "tasks": [{"id": 3}]}]),
        ),
        (
            "projects?select=id,c:client_id(name)&order=c(name).desc.nullslast,id.desc",
            json!([
                {"id": 2, "c": {"name": "Microsoft"}}, {"id": 1, "c": {"name": "Microsoft"}}, {"id": 3, "c": {"name": "Apple"}}, {"id": 5, "c": null}
            ]),
        ),
    ] {
        let reply = cloud.get(target);
        assert_eq!((reply.status, &reply.body), (200, &expected), "{target}");
    }
}

#[test]
fn spread_embeds_become_columns_of_their_parent() {
    let mut cloud = cloud();
    for (target, expected) in [
        (
            "tasks?id=in.(1,5)&select=id,...projects(project:name,...clients!projects_client_id_fkey(client:name))",
            json!([
                {"id": 1, "project": "Windows 7", "client": "Microsoft"},
                {"id": 5, "project": "IOS", "client": "Apple"}
            ]),
        ),
        (
            "projects?id=in.(3,5)&select=id,...clients!client_id(*)&order=id",
            json!([{"id": 2, "name": "Apple"}, {"id": null, "name": null}]),
        ),
        (
            "projects?id=in.(1,5)&select=id,...tasks(task:name)&tasks.order=id.desc",
            json!([{"id": 1, "task": ["Code w7", "Design w7"]}, {"id": 5, "task": []}]),
        ),
        (
            "tasks?id=eq.1&select=...projects(tasks(done:name))",
            json!([{"tasks": [{"done": "Design w7"}, {"done": "Code w7"}]}]),
        ),
        ("projects?select=...clients!payer_id!inner(who:name)&clients.id=eq.1", json!([{"who": "Microsoft"}])),
    ] {
        let reply = cloud.get(target);
        assert_eq!((reply.status, &reply.body), (200, &expected), "{target}");
    }
}

#[test]
fn an_embed_that_is_ambiguous_or_unknown_is_refused() {
    let mut cloud = cloud();
    let ambiguous = cloud.get("projects?select=clients(*)");
    assert_eq!((ambiguous.status, ambiguous.code()), (300, "PGRST201"));
    assert_eq!(
        ambiguous.body["details"][0],
        json!({"cardinality": "many-to-one", "embedding": "projects with clients",
               "relationship": "projects_client_id_fkey using projects(client_id) and clients(id)"})
    );
    assert_eq!(
        ambiguous.body["hint"],
        "Try changing 'clients' to one of the following: 'clients!projects_client_id_fkey', 'clients!projects_payer_id_fkey'. Find the desired relationship in the 'details' key."
    );
    let none = cloud.get("projects?select=items(*)");
    assert_eq!((none.status, none.code()), (400, "PGRST200"));
    let to_many = cloud.get("projects?select=tasks(*)&order=tasks(id)");
    assert_eq!((to_many.status, to_many.code()), (400, "PGRST118"));
}
