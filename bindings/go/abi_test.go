package emotionllama

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unsafe"
)

// repository is the root of the repository that the tests belong to.
func repository(t testing.TB) string {
	t.Helper()
	root := os.Getenv("EMOTION_LLAMA_ROOT")
	if root == "" {
		root = "../.."
	}
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "ffi/abi.json")); err != nil {
		t.Fatalf("EMOTION_LLAMA_ROOT must be the repository: %v", err)
	}
	return root
}

type signature struct {
	Returns    string
	Parameters []string
}

type abi struct {
	Version   int `json:"abi_version"`
	Constants map[string]uint32
	Types     []string
	Structs   map[string][]string
	Callbacks map[string]signature
	Functions map[string]signature
}

func readABI(t *testing.T) *abi {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository(t), "ffi/abi.json"))
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	read := &abi{}
	if err := decoder.Decode(read); err != nil {
		t.Fatal(err)
	}
	return read
}

// natives are the Go types of C's, without emotion_llama_.
var natives = map[string]reflect.Type{
	"cancel":  reflect.TypeFor[nativeCancel](),
	"engine":  reflect.TypeFor[nativeEngine](),
	"live":    reflect.TypeFor[nativeLive](),
	"session": reflect.TypeFor[nativeSession](),
	"status":  reflect.TypeFor[nativeStatus](),
	"stream":  reflect.TypeFor[nativeStream](),
	"text":    reflect.TypeFor[nativeText](),
	"media":   reflect.TypeFor[nativeMedia](),
	"frame":   reflect.TypeFor[nativeFrame](),
	"samples": reflect.TypeFor[nativeSamples](),
}

var constants = map[string]uint32{
	"ABI_VERSION":       abiVersion,
	"PIXELS_RGB":        uint32(PixelsRGB),
	"PIXELS_BGR":        uint32(PixelsBGR),
	"PIXELS_RGBA":       uint32(PixelsRGBA),
	"PIXELS_BGRA":       uint32(PixelsBGRA),
	"PIXELS_NV12":       uint32(PixelsNV12),
	"PIXELS_I420":       uint32(PixelsI420),
	"PIXELS_GRAY":       uint32(PixelsGray),
	"SAMPLES_I16":       samplesI16,
	"SAMPLES_F32":       samplesF32,
	"LOG_ERROR":         uint32(LogError),
	"LOG_WARN":          uint32(LogWarn),
	"LOG_INFO":          uint32(LogInfo),
	"LOG_DEBUG":         uint32(LogDebug),
	"LOG_TRACE":         uint32(LogTrace),
	"INVALID_ARGUMENT":  uint32(InvalidArgument),
	"MEDIA_UNDECODABLE": uint32(MediaUndecodable),
	"MEDIA_TOO_LARGE":   uint32(MediaTooLarge),
	"NOT_FOUND":         uint32(NotFound),
	"PACK_INVALID":      uint32(PackInvalid),
	"OUT_OF_MEMORY":     uint32(OutOfMemory),
	"OVERLOADED":        uint32(Overloaded),
	"CANCELLED":         uint32(Cancelled),
	"TIMEOUT":           uint32(Timeout),
	"INTERNAL":          uint32(Internal),
	"UNREACHABLE":       uint32(Unreachable),
}

var callbacks = map[string]reflect.Type{
	"emotion_llama_progress_function": reflect.TypeFor[progressFunction](),
	"emotion_llama_log_function":      reflect.TypeFor[logFunction](),
}

var declaration = regexp.MustCompile(`^(.*?)(\w+)(\[3\])?$`)

// goType gives the type that a parameter, a field or (with no name) a result has in Go.
func goType(t *testing.T, declared string, named, inCallback bool) (name string, of reflect.Type) {
	t.Helper()
	kind, array := declared, ""
	if named {
		parts := declaration.FindStringSubmatch(declared)
		kind, name, array = parts[1], parts[2], parts[3]
	}
	kind = strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(kind, "const ", ""), "struct ", ""))
	base := strings.TrimRight(kind, "* ")
	stars := strings.Count(kind, "*")
	switch {
	case callbacks[base] != nil:
		of = reflect.TypeFor[uintptr]()
	case strings.HasPrefix(base, "emotion_llama_"):
		native := natives[strings.TrimPrefix(base, "emotion_llama_")]
		if native == nil {
			t.Fatalf("%s is not bound", base)
		}
		of = native
		for range stars {
			of = reflect.PointerTo(of)
		}
	case kind == "char *" && !inCallback:
		of = reflect.TypeFor[string]()
	case kind == "char *", kind == "uint8_t *":
		of = reflect.TypeFor[*byte]()
	case kind == "void *" && name == "userdata":
		of = reflect.TypeFor[uintptr]()
	case kind == "void *":
		of = reflect.TypeFor[unsafe.Pointer]()
	case kind == "size_t":
		of = reflect.TypeFor[uintptr]()
	case kind == "uint32_t":
		of = reflect.TypeFor[uint32]()
	case kind == "uint64_t":
		of = reflect.TypeFor[uint64]()
	case kind == "double":
		of = reflect.TypeFor[float64]()
	case kind == "bool":
		of = reflect.TypeFor[bool]()
	default:
		t.Fatalf("%q is a type of C that this test does not know", declared)
	}
	if array != "" {
		of = reflect.ArrayOf(3, of)
	}
	return name, of
}

func checkSignature(t *testing.T, name string, declared signature, bound reflect.Type, inCallback bool) {
	t.Helper()
	if bound.NumIn() != len(declared.Parameters) {
		t.Errorf("%s has %d parameters in C and %d in Go", name, len(declared.Parameters), bound.NumIn())
		return
	}
	for i, parameter := range declared.Parameters {
		if _, of := goType(t, parameter, true, inCallback); bound.In(i) != of {
			t.Errorf("%s: %q is %v in Go", name, parameter, bound.In(i))
		}
	}
	if declared.Returns == "void" {
		if bound.NumOut() != 0 {
			t.Errorf("%s gives nothing in C", name)
		}
		return
	}
	if bound.NumOut() != 1 {
		t.Errorf("%s gives %s in C and nothing in Go", name, declared.Returns)
		return
	}
	_, of := goType(t, declared.Returns, false, inCallback)
	// A text says its length, so it is not looked through for its end.
	if name == "emotion_llama_text_data" {
		of = reflect.TypeFor[*byte]()
	}
	if bound.Out(0) != of {
		t.Errorf("%s gives %q, which is %v in Go", name, declared.Returns, bound.Out(0))
	}
}

func TestEveryFunctionIsBound(t *testing.T) {
	declared := readABI(t).Functions
	table := reflect.TypeFor[functions]()
	bound := map[string]bool{}
	for i := range table.NumField() {
		name := table.Field(i).Tag.Get("c")
		bound[name] = true
		function, there := declared[name]
		if !there {
			t.Errorf("there is no %s", name)
			continue
		}
		checkSignature(t, name, function, table.Field(i).Type, false)
	}
	for name := range declared {
		if !bound[name] {
			t.Errorf("%s is not bound", name)
		}
	}
}

func TestEveryCallbackIsBound(t *testing.T) {
	declared := readABI(t).Callbacks
	for name, callback := range declared {
		if bound := callbacks[name]; bound == nil {
			t.Errorf("%s is not bound", name)
		} else {
			checkSignature(t, name, callback, bound, true)
		}
	}
	if len(declared) != len(callbacks) {
		t.Errorf("%d callbacks in C, %d in Go", len(declared), len(callbacks))
	}
}

func TestEveryConstantIsBound(t *testing.T) {
	read := readABI(t)
	if read.Version != abiVersion {
		t.Errorf("the ABI is version %d", read.Version)
	}
	for long, value := range read.Constants {
		name := strings.TrimPrefix(long, "EMOTION_LLAMA_")
		bound, there := constants[name]
		if !there || bound != value {
			t.Errorf("%s is %d in C and %d in Go (bound: %v)", long, value, bound, there)
		}
		isCode := !strings.Contains(name, "VERSION") && !strings.HasPrefix(name, "PIXELS_") &&
			!strings.HasPrefix(name, "SAMPLES_") && !strings.HasPrefix(name, "LOG_")
		if isCode && Code(value).String() != strings.ToLower(name) {
			t.Errorf("%s is called %q", long, Code(value))
		}
		if isCode && Code(value).HTTPStatus() == 0 {
			t.Errorf("%s has no HTTP status", long)
		}
	}
}

func TestStructsAreLaidOutAsInC(t *testing.T) {
	read := readABI(t)
	for long, fields := range read.Structs {
		bound := natives[strings.TrimPrefix(long, "emotion_llama_")]
		if bound == nil {
			t.Errorf("%s is not bound", long)
			continue
		}
		if bound.NumField() != len(fields) {
			t.Errorf("%s has %d fields in C and %d in Go", long, len(fields), bound.NumField())
			continue
		}
		end := uintptr(0)
		for i, field := range fields {
			name, of := goType(t, field, true, false)
			got := bound.Field(i)
			if strings.ReplaceAll(name, "_", "") != strings.ToLower(got.Name) || got.Type != of {
				t.Errorf("%s: %q is %s %v in Go", long, field, got.Name, got.Type)
			}
			// As C lays it out on every machine with 64-bit pointers: each field at a multiple of its own size.
			align := uintptr(of.Align())
			end = (end + align - 1) / align * align
			if got.Offset != end {
				t.Errorf("%s.%s is at %d in C and at %d in Go", long, name, end, got.Offset)
			}
			end += of.Size()
		}
		if end = (end + 7) / 8 * 8; bound.Size() != end {
			t.Errorf("%s has %d bytes in C and %d in Go", long, end, bound.Size())
		}
	}
	for _, long := range read.Types {
		if natives[strings.TrimPrefix(long, "emotion_llama_")] == nil {
			t.Errorf("%s is not bound", long)
		}
	}
	if len(natives) != len(read.Types)+len(read.Structs) {
		t.Errorf("%d types and structs in C, %d in Go", len(read.Types)+len(read.Structs), len(natives))
	}
}
