/* Wide tables and equations scroll by themselves (site.css): let the keyboard reach them. */
addEventListener("load", () => {
  for (const wide of document.querySelectorAll(".bd-article table, .bd-article div.math")) {
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
  }
  /* Docutils marks references as a list whose entries are, to a screen reader, no list items. */
  document.querySelectorAll(".citation-list").forEach((list) => list.removeAttribute("role"));
});

/* The part on the first page: as much of it under its heat map as the slider says. */
for (const slider of document.querySelectorAll(".home-compare input")) {
  const move = () => slider.closest("figure").style.setProperty("--cut", `${100 - slider.value}%`);
  slider.addEventListener("input", move);
  move();
}
