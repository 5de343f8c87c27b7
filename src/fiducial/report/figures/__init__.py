"""Static figures as inline SVG: text stays text, ids are unique per page, all readable in grey."""
