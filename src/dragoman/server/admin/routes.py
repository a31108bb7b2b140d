"""The operator's part of the route table; see `dragoman.server.routes`."""

from collections.abc import Callable

from dragoman.server.admin.access_changes import KeyChanges, TeamChanges
from dragoman.server.docs import access_schemas, schemas
from dragoman.server.route_spec import Handlers, Operation, PageFunction, Parameter, RouteSpec

ADMIN_PREFIX = "/admin/"
"""The paths for the operator."""

_RUN_FILTERS = (
    Parameter("status", "Only runs with these statuses, separated by commas."),
    Parameter("model", "Only runs whose model id contains this."),
    Parameter("client", "Only runs of this client."),
    Parameter("since", "Only runs since then: `15m`, `2h`, `7d`, an ISO 8601 time, or seconds since 1970."),
    Parameter("after", "The id of a run: return the page after it."),
    Parameter("limit", "The maximum number of runs, 1 to 500."),
)
_USAGE_FILTERS = (
    Parameter("by", "What to sum by, separated by commas: `key`, `team`, `model`, `upstream`, `status`, `day`."),
    Parameter("since", "Only runs that began then or later: `7d`, an ISO 8601 time, or seconds since 1970."),
    Parameter("until", "Only runs that began before."),
    Parameter("key", "Only runs of this key."),
    Parameter("team", "Only runs of this team."),
    Parameter("model", "Only runs of this model."),
    Parameter("upstream", "Only runs on this upstream."),
)


def _admin(method: str, path: str, handler: Callable[[Handlers], PageFunction], operation: Operation) -> RouteSpec:
    return RouteSpec(method=method, path=ADMIN_PREFIX + path, handler=handler, operation=operation)


ADMIN_ROUTES: tuple[RouteSpec, ...] = (
    _admin(
        "GET",
        "status",
        lambda to: to.admin_status,
        Operation(summary="The state of the gateway.", response=schemas.Status, error=schemas.AdminError),
    ),
    _admin(
        "GET",
        "runs",
        lambda to: to.admin_runs,
        Operation(
            summary="List runs, newest first.",
            response=schemas.RunList,
            parameters=_RUN_FILTERS,
            error=schemas.AdminError,
        ),
    ),
    _admin(
        "GET",
        "runs/{id}",
        lambda to: to.admin_run,
        Operation(summary="Return one run.", response=schemas.Run, error=schemas.AdminError),
    ),
    _admin(
        "GET",
        "runs/{id}/events",
        lambda to: to.admin_events,
        Operation(summary="Stream the events of a run.", media_type="text/event-stream", error=schemas.AdminError),
    ),
    _admin(
        "POST",
        "runs/{id}/cancel",
        lambda to: to.admin_cancel,
        Operation(summary="Cancel a run.", response=schemas.Run, error=schemas.AdminError),
    ),
    _admin(
        "GET",
        "keys",
        lambda to: to.admin_keys,
        Operation(summary="List client keys.", response=access_schemas.KeyList, error=schemas.AdminError),
    ),
    _admin(
        "POST",
        "keys",
        lambda to: to.admin_create_key,
        Operation(
            summary="Create a client key. Its secret is shown this once.",
            request=access_schemas.CreateKey,
            response=access_schemas.NewKey,
            status="201",
            error=schemas.AdminError,
        ),
    ),
    _admin(
        "GET",
        "keys/{name}",
        lambda to: to.admin_key,
        Operation(
            summary="Return a client key, and what it has used.", response=access_schemas.Key, error=schemas.AdminError
        ),
    ),
    _admin(
        "PATCH",
        "keys/{name}",
        lambda to: to.admin_update_key,
        Operation(
            summary="Change what a key may use.",
            request=KeyChanges,
            response=access_schemas.Key,
            error=schemas.AdminError,
        ),
    ),
    _admin(
        "POST",
        "keys/{name}/rotate",
        lambda to: to.admin_rotate_key,
        Operation(
            summary="Give a key a new secret. The old one stays valid for a time.",
            request=access_schemas.RotateKey,
            response=access_schemas.NewKey,
            error=schemas.AdminError,
        ),
    ),
    _admin(
        "POST",
        "keys/{name}/revoke",
        lambda to: to.admin_revoke_key,
        Operation(summary="Revoke a key.", response=access_schemas.Key, error=schemas.AdminError),
    ),
    _admin(
        "GET",
        "teams",
        lambda to: to.admin_teams,
        Operation(summary="List teams.", response=access_schemas.TeamList, error=schemas.AdminError),
    ),
    _admin(
        "POST",
        "teams",
        lambda to: to.admin_create_team,
        Operation(
            summary="Create a team.",
            request=access_schemas.CreateTeam,
            response=access_schemas.Team,
            status="201",
            error=schemas.AdminError,
        ),
    ),
    _admin(
        "GET",
        "teams/{name}",
        lambda to: to.admin_team,
        Operation(
            summary="Return a team, and what it has used.", response=access_schemas.Team, error=schemas.AdminError
        ),
    ),
    _admin(
        "PATCH",
        "teams/{name}",
        lambda to: to.admin_update_team,
        Operation(
            summary="Change what a team may use.",
            request=TeamChanges,
            response=access_schemas.Team,
            error=schemas.AdminError,
        ),
    ),
    _admin(
        "DELETE",
        "teams/{name}",
        lambda to: to.admin_delete_team,
        Operation(
            summary="Delete a team that has no valid keys.", response=access_schemas.Team, error=schemas.AdminError
        ),
    ),
    _admin(
        "GET",
        "audit",
        lambda to: to.admin_audit,
        Operation(
            summary="List changes of keys and teams, newest first.",
            response=access_schemas.AuditLog,
            parameters=(Parameter("limit", "The maximum number of entries, 1 to 1000."),),
            error=schemas.AdminError,
        ),
    ),
    _admin(
        "GET",
        "limits",
        lambda to: to.admin_limits,
        Operation(
            summary="Return every limit and budget, and what is used of it.",
            response=access_schemas.LimitList,
            error=schemas.AdminError,
        ),
    ),
    _admin(
        "GET",
        "usage",
        lambda to: to.admin_usage,
        Operation(
            summary="Return what runs have used and cost.",
            response=access_schemas.UsageReport,
            parameters=_USAGE_FILTERS,
            error=schemas.AdminError,
        ),
    ),
    _admin(
        "GET",
        "events",
        lambda to: to.admin_live,
        Operation(
            summary="Stream the list of runs and the gateway's state, as they change.",
            parameters=(Parameter("limit", "How many runs to begin with, 1 to 500."),),
            media_type="text/event-stream",
            error=schemas.AdminError,
        ),
    ),
    _admin(
        "GET",
        "settings",
        lambda to: to.admin_settings,
        Operation(summary="List the effective settings.", response=schemas.SettingList, error=schemas.AdminError),
    ),
    _admin(
        "GET",
        "nodes",
        lambda to: to.admin_nodes,
        Operation(
            summary="List the nodes of the gateway, with their workers and upstreams.",
            response=schemas.NodeList,
            error=schemas.AdminError,
        ),
    ),
    _admin(
        "GET",
        "plan",
        lambda to: to.admin_plan,
        Operation(
            summary="Return the limits of the operator's plan, as the official runtime reports them.",
            response=schemas.PlanList,
            error=schemas.AdminError,
        ),
    ),
)
