// One mistake per case, each compiled by itself: the first error names it and what to do, before anything
// that follows from it. The compiler names the type in the lines around it.
// case C_ARRAY_FIRST: this struct has a C array as a member; make it a std::array
// case C_ARRAY_LATER: this struct has a C array as a member; make it a std::array
// case C_ARRAY_OF_ONE: this struct has a C array as a member; make it a std::array
// case BIT_FIELD: bit-field|bit field
// case ANONYMOUS_UNION: this struct has a union as a member, perhaps an anonymous one; make its parts members
// case REFERENCE: this struct has a reference member; make it a value
// case CONST_REFERENCE: this struct has a reference member; make it a value
// case TOO_MANY: the members of this struct cannot be counted; it has more than 64
// case CONSTRUCTOR: this class has a constructor, so its members cannot be found
// case DEFAULT_CONSTRUCTOR: this class has a constructor, a private or protected member or a private base
// class case PRIVATE: this class has a constructor, a private or protected member or a private base class
// case VIRTUAL: this class has a virtual function, so its members cannot be found
// case BASE: the members of a struct with a base class cannot be found; make the base a member
// case SHARED: a member is a pointer, and what it points to is not visited
// case RAW_POINTER: a member is a pointer, and what it points to is not visited
// case CONTAINER: it is none of the containers (vector, array, optional, tuple, pair, map, unique_ptr)
// case FORGOTTEN: MINIPARALLEL_MEMBERS leaves out a part of this class that is large enough for a layer
#include <miniparallel/model/reflect.h>

#include <list>

struct Layer {
  Layer(int, int) {}
  MINIPARALLEL_MEMBERS(weight, bias)
  std::shared_ptr<int> weight, bias;
};
struct Visitor {
  void leaf(Layer&) {}
  void enter(std::string_view) {}
  void leave() {}
  template <class T>
  void begin(T&) {}
  void end() {}
};

#if defined(C_ARRAY_FIRST)
struct Tower {
  Layer layers[2] = {{1, 2}, {2, 3}};
  Layer head{3, 4};
};
#elif defined(C_ARRAY_LATER)
struct Tower {
  Layer head{3, 4};
  Layer layers[3] = {{1, 2}, {2, 3}, {3, 4}};
};
#elif defined(C_ARRAY_OF_ONE)
struct Tower {
  Layer layers[1] = {{1, 2}};
};
#elif defined(BIT_FIELD)
struct Tower {
  Layer head{3, 4};
  unsigned wide : 1 = 0;
};
#elif defined(ANONYMOUS_UNION)
struct Tower {
  Layer head{3, 4};
  union {
    int whole;
    float real;
  };
};
#elif defined(REFERENCE)
struct Tower {
  Layer head{3, 4};
  Layer& shared;
};
#elif defined(CONST_REFERENCE)
struct Tower {
  const Layer& shared;
};
#elif defined(TOO_MANY)
struct Tower {
  int i[70];
  Layer head{3, 4};
};
#elif defined(CONSTRUCTOR)
struct Tower {
  explicit Tower(int width) : head(width, 4) {}
  Layer head;
};
#elif defined(DEFAULT_CONSTRUCTOR)
struct Tower {
  Tower() : head(3, 4) {}
  Layer head;
};
#elif defined(PRIVATE)
class Tower {
  Layer head_{3, 4};
};
#elif defined(VIRTUAL)
struct Tower {
  virtual ~Tower() = default;
  Layer head{3, 4};
};
#elif defined(BASE)
struct Body {
  Layer body{3, 4};
};
struct Tower : Body {
  Layer head{3, 4};
};
#elif defined(SHARED)
struct Tower {
  std::shared_ptr<Layer> head;
};
#elif defined(RAW_POINTER)
struct Tower {
  Layer* head = nullptr;
};
#elif defined(CONTAINER)
struct Tower {
  std::list<Layer> layers;
};
#elif defined(FORGOTTEN)
class Tower {
  Layer body_{3, 4}, head_{4, 5};
  MINIPARALLEL_MEMBERS(body_)
};
#endif

template <class T>
void check(T& object) {
  Visitor visitor;
  miniparallel::reflect::visit(object, visitor);
}
template void check(Tower&);
