package reference

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const small = `
info: {title: Shop, version: 1.2.3, description: 'Uses <script> and ` + "`Cat`" + `.'}
tags: [{name: Cats, description: All cats.}]
paths:
  /cats/{name}:
    parameters: [{name: name, in: path, required: true, description: The name., schema: {type: string, maxLength: 9}}]
    get:
      operationId: getCat
      tags: [Cats]
      security: [{key: [cats:read]}]
      summary: Read a cat
      responses:
        '200':
          description: The cat.
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Cat'}
              example: {zeal: 1, age: 2.50, name: "12", 'on': [true, null]}
        '404': {$ref: '#/components/responses/Gone'}
components:
  responses: {Gone: {description: It is gone.}}
  schemas:
    Cat:
      type: object
      required: [name]
      properties:
        name: {type: string, description: Its name.}
        home: {type: object, properties: {town: {$ref: '#/components/schemas/Town'}}}
    Town: {type: string, enum: [rome, oslo], description: A town.}
`

func TestPageShowsWhatTheDocumentSays(t *testing.T) {
	t.Parallel()
	page, err := Page([]byte(small))
	require.NoError(t, err)
	for _, part := range []string{
		`<title>Shop API reference</title>`,
		`<a href="#Cat"><code>Cat</code></a>`, // in the text
		`<b class="get">GET</b> <code>/cats/{name}</code>`, `Scope <code>cats:read</code>`,
		`<small>at most 9 characters</small>`, `<code>name</code> <em>required</em>`,
		`It is gone.`,
		`<code>home.town</code>`, `A town.`, `one of rome, oslo`,
		"<code>{\n  &#34;zeal&#34;: 1,\n  &#34;age&#34;: 2.5,\n  &#34;name&#34;: &#34;12&#34;,\n" + // in this order
			"  &#34;on&#34;: [\n    true,\n    null\n  ]\n}</code>",
	} {
		require.Contains(t, string(page), part)
	}
	require.NotContains(t, string(page), "<script>")
}

func TestPageRefusesADocumentWithDeadReferences(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{
		"tags: [{name: Cats}]\npaths: {/cats: {get: {tags: [Cats], responses: {'200': {$ref: '#/components/responses/None'}}}}}",
		"tags: [{name: Cats}]\npaths: {/cats: {get: {tags: [Dogs]}}}",
		"components: {schemas: {Cat: {properties: {town: {$ref: '#/components/schemas/None'}}}}}",
		"paths: [",
	} {
		_, err := Page([]byte(broken))
		require.Error(t, err, broken)
	}
}
