package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/types"
	"maps"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// code is what a set of packages declares and uses. Objects are identified by their full names, such as path.Type.Method,
// because a package that has tests is loaded twice.
type code struct {
	tests      []string                   // import paths of packages that exist for tests
	declared   map[string]string          // name → position
	used       map[string]bool            // by code that is not a test
	tested     map[string]bool            // by tests
	methods    map[string]map[string]bool // name of a type → names of its methods
	interfaces map[string][]string        // type → names of its methods
}

// load reads the packages and their tests.
func load(tests []string, dir string, patterns []string) (*code, error) {
	const mode = packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports |
		packages.NeedExportFile | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo
	pkgs, err := packages.Load(&packages.Config{Mode: mode, Dir: dir, Tests: true}, patterns...)
	if err != nil {
		return nil, err
	}
	if packages.PrintErrors(pkgs) > 0 {
		return nil, errors.New("the packages do not compile")
	}
	c := &code{
		tests:    tests,
		declared: map[string]string{}, used: map[string]bool{}, tested: map[string]bool{},
		methods: map[string]map[string]bool{}, interfaces: map[string][]string{},
	}
	for _, pkg := range pkgs {
		c.read(pkg)
	}
	return c, nil
}

// read adds what one package declares and uses.
func (c *code) read(pkg *packages.Package) {
	for _, file := range pkg.Syntax {
		position := pkg.Fset.Position(file.Pos())
		isTest := strings.HasSuffix(position.Filename, "_test.go")
		if !isTest && !ast.IsGenerated(file) {
			c.declare(pkg, file)
		}
		uses := c.used
		if isTest || c.isForTests(pkg.PkgPath) {
			uses = c.tested
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && pkg.TypesInfo.Uses[id] != nil {
				uses[fullName(pkg.TypesInfo.Uses[id])] = true
			}
			return true
		})
	}
	for _, imported := range append(pkg.Types.Imports(), pkg.Types) {
		scope := imported.Scope()
		for _, name := range scope.Names() {
			if object, ok := scope.Lookup(name).(*types.TypeName); ok {
				c.addInterface(object.Type())
			}
		}
	}
	for _, tv := range pkg.TypesInfo.Types { // interfaces without a name
		if tv.IsType() {
			c.addInterface(tv.Type)
		}
	}
}

// declare adds the exported declarations of one file.
func (c *code) declare(pkg *packages.Package, file *ast.File) {
	add := func(id *ast.Ident) {
		object := pkg.TypesInfo.Defs[id]
		if object == nil {
			return
		}
		if named, ok := object.Type().(*types.Named); ok && named.Obj() == object {
			c.methods[fullName(object)] = methodsOf(named)
		}
		if id.IsExported() {
			c.declared[fullName(object)] = pkg.Fset.Position(id.Pos()).String()
		}
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			add(d.Name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					add(s.Name)
				case *ast.ValueSpec:
					for _, name := range s.Names {
						add(name)
					}
				}
			}
		}
	}
}

func (c *code) addInterface(t types.Type) {
	i, ok := t.Underlying().(*types.Interface)
	if !ok || i.NumMethods() == 0 {
		return
	}
	names := make([]string, i.NumMethods())
	for n := range names {
		names[n] = i.Method(n).Name()
	}
	c.interfaces[t.String()] = names
}

// byName are methods that other packages find by their names: package errors and the command-line parser.
var byName = []string{"Error", "Unwrap", "Is", "As", "Timeout", "Run", "Help", "Validate"}

// dead returns the names that nothing uses or only tests use, with their positions.
func (c *code) dead() map[string]string {
	dead := map[string]string{}
	for name, position := range c.declared {
		switch {
		case c.used[name] || c.implements(name) || c.tested[name] && c.isForTests(name):
		case c.tested[name]:
			dead[name] = position + ": only tests use " + name
		default:
			dead[name] = position + ": nothing uses " + name
		}
	}
	return dead
}

// isForTests reports whether a package, or the package of a name, exists for tests.
func (c *code) isForTests(name string) bool {
	return slices.ContainsFunc(c.tests, func(path string) bool {
		rest, found := strings.CutPrefix(name, path)
		return path != "" && found && (rest == "" || rest[0] == '/' || rest[0] == '.')
	})
}

// implements reports whether the name is a method by which its type implements an interface.
func (c *code) implements(name string) bool {
	dot := strings.LastIndexByte(name, '.')
	owner, method := name[:dot], name[dot+1:]
	methods, isType := c.methods[owner]
	if isType && slices.Contains(byName, method) {
		return true
	}
	for _, wanted := range c.interfaces {
		if slices.Contains(wanted, method) && !slices.ContainsFunc(wanted, func(other string) bool { return !methods[other] }) {
			return true
		}
	}
	return false
}

// methodsOf returns the names of the type's methods, embedded ones included.
func methodsOf(t *types.Named) map[string]bool {
	names := map[string]bool{}
	set := types.NewMethodSet(types.NewPointer(t))
	for i := range set.Len() {
		names[set.At(i).Obj().Name()] = true
	}
	return names
}

// fullName returns path.Name, or path.Type.Name for a method.
func fullName(object types.Object) string {
	if object.Pkg() == nil {
		return object.Name()
	}
	if f, ok := object.(*types.Func); ok {
		f = f.Origin()
		if receiver := f.Signature().Recv(); receiver != nil {
			t := receiver.Type()
			if pointer, ok := t.(*types.Pointer); ok {
				t = pointer.Elem()
			}
			if named, ok := t.(*types.Named); ok {
				return fmt.Sprintf("%s.%s.%s", f.Pkg().Path(), named.Obj().Name(), f.Name())
			}
		}
	}
	if object.Parent() != object.Pkg().Scope() { // a field or a local name
		return ""
	}
	return object.Pkg().Path() + "." + object.Name()
}

// sorted returns the values of a map in the order of its keys.
func sorted(m map[string]string) []string {
	var values []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		values = append(values, m[key])
	}
	return values
}
