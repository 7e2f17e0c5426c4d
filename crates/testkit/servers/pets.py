"""A small HTTP API on Starlette, and its OpenAPI document, which Starlette makes in YAML from the
comments below: what a tool made of it sends is seen by a framework that is not ours."""

import base64
import socket

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.schemas import SchemaGenerator

PETS = {1: {"id": 1, "name": "Rex", "tags": ["dog"]}, 2: {"id": 2, "name": "Tom", "tags": ["cat", "grey"]}}
PICTURE = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")

schemas = SchemaGenerator(
    {
        "openapi": "3.0.3",
        "info": {"title": "Pets", "version": "1.0", "description": "Keeps pets."},
        "components": {
            "schemas": {
                "Pet": {
                    "type": "object",
                    "required": ["id", "name"],
                    "properties": {
                        "id": {"type": "integer", "format": "int64", "readOnly": True},
                        "name": {"type": "string", "minLength": 1},
                        "tags": {"type": "array", "items": {"type": "string"}},
                        "mother": {"$ref": "#/components/schemas/Pet"},
                    },
                }
            }
        },
    }
)


def listed(request):
    """
    operationId: pets.list
    summary: Lists pets
    tags: [pets]
    parameters:
      - {name: tags, in: query, description: Only pets with one of these, schema: {type: array, items: {type: string}}}
      - {name: page, in: query, schema: {type: integer, minimum: 1}}
    responses:
      200:
        description: A page of pets; one each.
        content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Pet'}}}}
    """
    tags = request.query_params.getlist("tags")
    pets = [pet for pet in PETS.values() if not tags or set(tags) & set(pet["tags"])]
    page = int(request.query_params.get("page", 1))
    links = {"Link": f'</pets?page={page + 1}>; rel="next"'} if page < len(pets) and not tags else {}
    return JSONResponse(pets if tags else pets[page - 1 : page], headers=links)


def shown(request):
    """
    operationId: pets.get
    summary: Shows a pet
    tags: [pets]
    parameters:
      - {name: id, in: path, required: true, schema: {type: integer}}
    responses:
      200: {description: The pet, content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}}
      404: {description: No such pet}
    """
    pet = PETS.get(request.path_params["id"])
    return JSONResponse(pet or {"detail": "no such pet"}, 200 if pet else 404)


async def added(request):
    """
    operationId: pets.add
    summary: Adds a pet
    tags: [pets]
    security: [{token: []}]
    requestBody:
      required: true
      content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}
    responses:
      201: {description: The pet, content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}}
    """
    if request.headers.get("authorization") != "Bearer harbour-token":
        return JSONResponse({"detail": "who are you, " + request.headers.get("authorization", "nobody")}, 401)
    return JSONResponse({"id": 3, **await request.json()}, 201)


def removed(request):
    """
    operationId: pets.remove
    tags: [pets]
    parameters:
      - {name: id, in: path, required: true, schema: {type: integer}}
    responses:
      204: {description: Gone}
    """
    return Response(status_code=204)


async def echoed(request):
    """
    operationId: echo
    parameters:
      - {name: word, in: path, required: true, schema: {type: string}}
      - {name: where, in: query, style: deepObject, explode: true, schema: {type: object}}
      - {name: list, in: query, style: pipeDelimited, explode: false, schema: {type: array, items: {type: string}}}
      - {name: X-Trace, in: header, schema: {type: string}}
      - {name: theme, in: cookie, schema: {type: string}}
    requestBody:
      content: {application/x-www-form-urlencoded: {schema: {type: object, properties: {user: {type: string}, roles: {type: array, items: {type: string}}}}}}
    responses:
      200: {description: What came}
    """
    form = await request.form()
    return JSONResponse(
        {
            "path": request.scope["raw_path"].decode(),
            "word": request.path_params["word"],
            "query": request.query_params.multi_items(),
            "form": form.multi_items(),
            "trace": request.headers.get("x-trace"),
            "theme": request.cookies.get("theme"),
            "agent": request.headers.get("user-agent"),
        }
    )


def drawn(request):
    """
    operationId: picture
    responses:
      200: {description: A picture, content: {image/png: {}}}
    """
    return Response(PICTURE, media_type="image/png")


def uploaded(request):
    """
    operationId: upload
    requestBody:
      content: {multipart/form-data: {schema: {type: object}}}
    responses:
      200: {description: Taken}
    """
    return PlainTextResponse("taken")


def document(request):
    return schemas.OpenAPIResponse(request=request)


app = Starlette(
    routes=[
        Route("/pets", listed, methods=["GET"]),
        Route("/pets", added, methods=["POST"]),
        Route("/pets/{id:int}", shown, methods=["GET"]),
        Route("/pets/{id:int}", removed, methods=["DELETE"]),
        Route("/echo/{word:path}", echoed, methods=["POST"]),
        Route("/picture", drawn, methods=["GET"]),
        Route("/upload", uploaded, methods=["POST"]),
        Route("/schema", document, include_in_schema=False),
    ]
)

if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print("listening http://127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
